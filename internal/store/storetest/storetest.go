// Package storetest holds the laws of package store, one a promise, and what their tests are made of.
//
// Begin with Run in the test of an implementation; Model holds it against the memory store over random operations, and
// Benchmarks measures it. Writer and Source make reports as the service would and are for the tests of other rooms too.
//
// The laws assume no more than the contract says: not that one handle is all there is, nor any order of a scan. They
// hold no timings.
package storetest

import (
	"slices"
	"testing"

	"stocktake/internal/store"
)

// Maker makes the stores under test, several at once.
type Maker struct {
	// Name is what the kind of store is called in the names of tests.
	Name string
	// Open makes a store without anything in it, which is closed when the test ends. No law makes more than one, by this
	// or by Like.
	Open func(tb testing.TB) store.Store
	// Like makes a store without anything in it that has the given identity, and is closed when the test ends.
	Like func(tb testing.TB, id store.Identity) store.Store
	// Reopen closes a store that one of these gave and opens it again. A store that forgets leaves it nil, and is
	// spared the laws of what lasts.
	Reopen func(tb testing.TB, s store.Store) store.Store
	// Handle opens the store that another handle has open once more, for a second server of the same truth; it is closed
	// when the test ends. A store of one process leaves it nil, and is spared the laws of several servers.
	Handle func(tb testing.TB, s store.Store) store.Store
}

// law is one promise of the contract.
type law struct {
	name string
	hold func(t *testing.T, m Maker)
}

// laws are those of every store.
var laws = []law{
	{"CommitIsAllOrNothing", commitIsAllOrNothing},
	{"CommitGivesWhatIsStored", commitGivesWhatIsStored},
	{"StaleCommitConflicts", staleCommitConflicts},
	{"RacingCommitsOneWins", racingCommitsOneWins},
	{"RacingFirstCommitsOneWins", racingFirstCommitsOneWins},
	{"RacingUnchangedOneWins", racingUnchangedOneWins},
	{"SoundCommitsOnly", soundCommitsOnly},
	{"UnchangedReportWritesNoChange", unchangedReportWritesNoChange},
	{"RemovedNodeIsGone", removedNodeIsGone},
	{"RevisionNeverReturns", revisionNeverReturns},
	{"GivenUpCallStops", givenUpCallStops},
	{"ClosedStoreSaysSo", closedStoreSaysSo},
	{"DocumentsKeepOrderAndDuplicates", documentsKeepOrderAndDuplicates},
	{"AnyTextIsKept", anyTextIsKept},
	{"PartitionsAreApart", partitionsAreApart},
	{"ReadGivesNodesWithDocuments", readGivesNodesWithDocuments},
	{"ReadIsConsistent", readIsConsistent},
	{"ScanPages", scanPages},
	{"SpansAreOfWhatIsRead", spansAreOfWhatIsRead},
	{"ExcerptIsPartOfWhatIsRead", excerptIsPartOfWhatIsRead},
	{"ScanIsConsistent", scanIsConsistent},
	{"ViewIsOfOneMoment", viewIsOfOneMoment},
	{"ViewBesideCommits", viewBesideCommits},
	{"ChangesNeverGoBack", changesNeverGoBack},
	{"ChangesSayWhatHappened", changesSayWhatHappened},
	{"CommitTellsWhatItFollows", commitTellsWhatItFollows},
	{"ReplayOverScanGivesNow", replayOverScanGivesNow},
	{"BehindIsTold", behindIsTold},
	{"OldestChangeBeginsTheFeed", oldestChangeBeginsTheFeed},
	{"PruneKeepsReaders", pruneKeepsReaders},
	{"PruneStopsAtAge", pruneStopsAtAge},
	{"NewestChangeStays", newestChangeStays},
	{"ShapeLivesWhileNamed", shapeLivesWhileNamed},
	{"SweptShapeReturns", sweptShapeReturns},
	{"SweepBesideCommits", sweepBesideCommits},
	{"RecordsCompareAndSwap", recordsCompareAndSwap},
	{"RacingRecordsOneWins", racingRecordsOneWins},
	{"ListRecordsOrder", listRecordsOrder},
	{"RecordsHeadMoves", recordsHeadMoves},
	{"JournalKeepsOrder", journalKeepsOrder},
	{"JournalKeepsItsBytes", journalKeepsItsBytes},
	{"AppendIsConditional", appendIsConditional},
	{"RacingAppendsOneWins", racingAppendsOneWins},
	{"IntentionsLastUntilSettled", intentionsLastUntilSettled},
	{"PruneKeepsTheNewestLine", pruneKeepsTheNewestLine},
	{"JournalMovesNoHead", journalMovesNoHead},
	{"SoundLinesOnly", soundLinesOnly},
	{"FencedCommitIsRefused", fencedCommitIsRefused},
	{"RaiseFenceStopsRacingCommits", raiseFenceStopsRacingCommits},
	{"SnapshotsKeepTheNewest", snapshotsKeepTheNewest},
	{"LoaderGivesTheSameStore", loaderGivesTheSameStore},
	{"LoadedElsewhereIsTheSame", loadedElsewhereIsTheSame},
	{"LoaderGoesOn", loaderGoesOn},
	{"LoaderTakesAnyOrder", loaderTakesAnyOrder},
	{"LoadedRevisionsAreNotGivenAgain", loadedRevisionsAreNotGivenAgain},
	{"LoaderRefusesOther", loaderRefusesOther},
	{"LoaderRefusesAnotherJournal", loaderRefusesAnotherJournal},
}

// lasting are those of stores that can be opened again.
var lasting = []law{
	{"ReopenKeepsAll", reopenKeepsAll},
	{"ReopenGoesOn", reopenGoesOn},
	{"ReopenKeepsTheJournal", reopenKeepsTheJournal},
	{"ReopenKeepsFences", reopenKeepsFences},
	{"ReopenKeepsWhatWasLoaded", reopenKeepsWhatWasLoaded},
	{"ReopenKeepsTheSnapshot", reopenKeepsTheSnapshot},
}

// shared are those of stores that several servers open.
var shared = []law{
	{"HandlesReadAtOnce", handlesReadAtOnce},
	{"HandlesShareTheFeed", handlesShareTheFeed},
	{"HandlesRaceCommits", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceCommits() }},
	{"HandlesRaceFirstCommits", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceFirstCommits() }},
	{"HandlesRaceUnchanged", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceUnchanged() }},
	{"HandlesRaceRecords", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceRecords() }},
	{"HandlesShareTheJournal", handlesShareTheJournal},
	{"HandlesRaceAppends", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceAppends() }},
	{"HandlesRaceFences", func(t *testing.T, m Maker) { newTrialBy2(t, m).raceFences() }},
	{"HandlesSweepBesideCommits", func(t *testing.T, m Maker) { newTrialBy2(t, m).sweepWhileCommitting() }},
	{"HandlesReturnSweptShapes", func(t *testing.T, m Maker) { newTrialBy2(t, m).returnSweptShape() }},
}

// Run holds a store to every law that is for its like, or to those named alone.
func Run(t *testing.T, m Maker, names ...string) {
	all := slices.Clone(laws)
	if m.Reopen != nil {
		all = append(all, lasting...)
	}
	if m.Handle != nil {
		all = append(all, shared...)
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(l law) bool { return l.name == name }) {
			t.Errorf("%s has no law %s", m.Name, name)
		}
	}
	for _, l := range all {
		if len(names) > 0 && !slices.Contains(names, l.name) {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel() // most of them wait for a disk
			l.hold(t, m)
		})
	}
}
