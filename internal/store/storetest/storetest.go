// Package storetest holds the laws of package store, one a promise, and what their tests are made of.
//
// Begin with Run in the test of an implementation; Model holds it against the memory store over random operations, and
// Benchmarks measures it. Writer and Source make reports as the service would and are for the tests of other rooms too.
//
// The laws assume no more than the contract says: not that one handle is all there is, nor any order of a scan. They
// hold no timings.
package storetest

import (
	"testing"

	"stocktake/internal/store"
)

// Maker makes the stores under test.
type Maker struct {
	// Open makes a store without anything in it, which is closed when the test ends.
	Open func(tb testing.TB) store.Store
	// Reopen closes a store that Open or Reopen gave and opens it again. A store that forgets leaves it nil, and is spared
	// the laws of what lasts.
	Reopen func(tb testing.TB, s store.Store) store.Store
}

// law is one promise of the contract. lasting laws need Reopen.
type law struct {
	name    string
	hold    func(t *testing.T, m Maker)
	lasting bool
}

var laws = []law{
	{name: "CommitIsAllOrNothing", hold: commitIsAllOrNothing},
	{name: "CommitGivesWhatIsStored", hold: commitGivesWhatIsStored},
	{name: "StaleCommitConflicts", hold: staleCommitConflicts},
	{name: "RacingCommitsOneWins", hold: racingCommitsOneWins},
	{name: "RacingFirstCommitsOneWins", hold: racingFirstCommitsOneWins},
	{name: "SoundCommitsOnly", hold: soundCommitsOnly},
	{name: "UnchangedReportWritesNoChange", hold: unchangedReportWritesNoChange},
	{name: "RemovedNodeIsGone", hold: removedNodeIsGone},
	{name: "RevisionNeverReturns", hold: revisionNeverReturns},
	{name: "GivenUpCallStops", hold: givenUpCallStops},
	{name: "ClosedStoreSaysSo", hold: closedStoreSaysSo},
	{name: "DocumentsKeepOrderAndDuplicates", hold: documentsKeepOrderAndDuplicates},
	{name: "AnyTextIsKept", hold: anyTextIsKept},
	{name: "PartitionsAreApart", hold: partitionsAreApart},
	{name: "ScanPages", hold: scanPages},
	{name: "ScanIsConsistent", hold: scanIsConsistent},
	{name: "ChangesNeverGoBack", hold: changesNeverGoBack},
	{name: "ChangesSayWhatHappened", hold: changesSayWhatHappened},
	{name: "ReplayOverScanGivesNow", hold: replayOverScanGivesNow},
	{name: "BehindIsTold", hold: behindIsTold},
	{name: "PruneKeepsReaders", hold: pruneKeepsReaders},
	{name: "PruneStopsAtAge", hold: pruneStopsAtAge},
	{name: "NewestChangeStays", hold: newestChangeStays},
	{name: "ShapeLivesWhileNamed", hold: shapeLivesWhileNamed},
	{name: "SweptShapeReturns", hold: sweptShapeReturns},
	{name: "SweepBesideCommits", hold: sweepBesideCommits},
	{name: "RecordsCompareAndSwap", hold: recordsCompareAndSwap},
	{name: "RacingRecordsOneWins", hold: racingRecordsOneWins},
	{name: "ListRecordsOrder", hold: listRecordsOrder},
	{name: "RecordsHeadMoves", hold: recordsHeadMoves},
	{name: "ReopenKeepsAll", hold: reopenKeepsAll, lasting: true},
	{name: "ReopenGoesOn", hold: reopenGoesOn, lasting: true},
}

// Run holds a store to every law.
func Run(t *testing.T, m Maker) {
	for _, l := range laws {
		if l.lasting && m.Reopen == nil {
			continue
		}
		t.Run(l.name, func(t *testing.T) { l.hold(t, m) })
	}
}
