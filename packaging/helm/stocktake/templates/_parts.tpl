{{- define "stocktake.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "stocktake.selector" -}}
app.kubernetes.io/name: stocktake
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "stocktake.labels" -}}
{{ include "stocktake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "stocktake.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What does not go together, told before anything is made. */}}
{{- define "stocktake.check" -}}
{{- if not (or .Values.tls.existingSecret .Values.tls.insecure) }}{{ fail "give a certificate as tls.existingSecret, or set tls.insecure=true where something before the Service protects the connection" }}{{ end }}
{{- if and .Values.tls.existingSecret .Values.tls.insecure }}{{ fail "tls.existingSecret and tls.insecure are both set: choose one" }}{{ end }}
{{- if not .Values.rootKey.existingSecret }}{{ fail "give the root key as rootKey.existingSecret, a Secret with the keys access-key-id and secret-access-key" }}{{ end }}
{{- if and (eq .Values.store "postgresql") (not .Values.database.existingSecret) }}{{ fail "store=postgresql needs database.existingSecret, a Secret whose key url names the database" }}{{ end }}
{{- end }}

{{/* The configuration file. Secrets are files beside it, named here. */}}
{{- define "stocktake.settings" -}}
{{- $own := dict "listen" ":7540" "admin_listen" ":7541" "root_access_key_id_file" "/etc/stocktake/root/access-key-id" "root_secret_access_key_file" "/etc/stocktake/root/secret-access-key" }}
{{- if eq .Values.store "embedded" }}{{ $_ := set $own "data" "/data" }}{{ else }}{{ $_ := set $own "database_url_file" "/etc/stocktake/database/url" }}{{ end }}
{{- if .Values.tls.insecure }}{{ $_ := set $own "insecure_listen" true }}{{ else }}{{ $_ := set $own "tls_cert" "/etc/stocktake/tls/tls.crt" }}{{ $_ := set $own "tls_key" "/etc/stocktake/tls/tls.key" }}{{ end }}
{{- mergeOverwrite (deepCopy .Values.settings) $own | toYaml }}
{{- end }}

{{- define "stocktake.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "stocktake.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The pod of a server, the same over every store. */}}
{{- define "stocktake.pod" -}}
metadata:
  labels:
    {{- include "stocktake.labels" . | nindent 4 }}
    app.kubernetes.io/component: server
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/settings: {{ include "stocktake.settings" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext: {{- include "stocktake.podSecurity" . | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: stocktake
      image: {{ include "stocktake.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/stocktake/stocktake.yaml]
      env:
        - {name: GOMEMLIMIT, value: {{ .Values.goMemoryLimit | quote }}}
      ports:
        - {name: api, containerPort: 7540}
        - {name: admin, containerPort: 7541}
      # The process lives from the first second, and is ready once the index is loaded and the database answers.
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        failureThreshold: 1
      securityContext: {{- include "stocktake.containerSecurity" . | nindent 8 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: settings, mountPath: /etc/stocktake/stocktake.yaml, subPath: stocktake.yaml, readOnly: true}
        {{- if eq .Values.store "embedded" }}
        - {name: data, mountPath: /data}
        {{- end }}
        {{- range $name, $secret := include "stocktake.secrets" . | fromYaml }}
        - {name: {{ $name }}, mountPath: /etc/stocktake/{{ $name }}, readOnly: true}
        {{- end }}
  volumes:
    - name: settings
      configMap: {name: {{ include "stocktake.name" . }}}
    {{- range $name, $secret := include "stocktake.secrets" . | fromYaml }}
    - name: {{ $name }}
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
{{- end }}

{{/* The Secrets of a server, by the folder each is mounted at. */}}
{{- define "stocktake.secrets" -}}
{{- if eq .Values.store "postgresql" }}
database: {{ .Values.database.existingSecret }}
{{- end }}
root: {{ .Values.rootKey.existingSecret }}
{{- with .Values.secretFiles.existingSecret }}
secrets: {{ . }}
{{- end }}
{{- with .Values.tls.existingSecret }}
tls: {{ . }}
{{- end }}
{{- end }}
