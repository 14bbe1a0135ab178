{{- define "trawler.labels" -}}
app.kubernetes.io/name: trawler
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "trawler.selector" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "trawler.image" -}}
{{ .root.Values.image.registry }}/trawler-{{ .name }}:{{ index .root.Values.image.tags .name | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "trawler.natsUrl" -}}
{{- if .Values.nats.embedded -}}
nats://trawler-nats.{{ .Release.Namespace }}.svc:4222
{{- else -}}
{{ required "nats.url is needed where nats.embedded is off" .Values.nats.url }}
{{- end -}}
{{- end }}

{{- define "trawler.storeEndpoint" -}}
{{- if .Values.store.embedded -}}
http://trawler-store.{{ .Release.Namespace }}.svc:7070
{{- else -}}
{{ required "store.endpoint is needed where store.embedded is off" .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- define "trawler.storeSecret" -}}
{{- if .Values.store.credentialsSecret -}}
{{ .Values.store.credentialsSecret }}
{{- else if .Values.store.embedded -}}
trawler-store
{{- else -}}
{{ fail "store.credentialsSecret is needed where store.embedded is off" }}
{{- end -}}
{{- end }}

{{- /* Which Discord the bot speaks to: `real` with a token of yours, given now or before, `sandbox` in
       the sandbox without one, empty where there is no bot. What was there stays until
       `bot.enabled: false` says otherwise: an upgrade by one value must not take the bot away. */ -}}
{{- define "trawler.bot" -}}
{{- if not .Values.bot.enabled -}}
{{- else if or .Values.bot.token .Values.bot.tokenSecret -}}
real
{{- else if .Values.sandbox.enabled -}}
sandbox
{{- else -}}
{{- $kept := lookup "v1" "Secret" .Release.Namespace "trawler-discord" -}}
{{- /* before, a token of the sandbox was kept under the same name; Discord's have two dots */ -}}
{{- if $kept -}}
{{- if not (regexMatch "^[A-Za-z0-9]{24}[.][A-Za-z0-9]{38}$" (dig "data" "token" "" $kept | b64dec)) }}real{{ end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "trawler.discordSecret" -}}
{{- if eq (include "trawler.bot" .) "sandbox" -}}
trawler-discord-sandbox
{{- else -}}
{{ .Values.bot.tokenSecret | default "trawler-discord" }}
{{- end -}}
{{- end }}

{{- define "trawler.keySecret" -}}
{{ .Values.bot.keySecret | default "trawler-bot" }}
{{- end }}

{{- define "trawler.postgresSecret" -}}
{{- if .Values.postgres.embedded -}}
{{ .Values.postgres.credentialsSecret | default "trawler-postgres" }}
{{- else -}}
{{ .Values.postgres.external.secret | default "trawler-postgres-external" }}
{{- end -}}
{{- end }}

{{- /* What of an install must outlive it, and every upgrade: passwords, keys, volumes. */ -}}
{{- define "trawler.keep" -}}
helm.sh/resource-policy: keep
{{- end }}

{{- /* A Secret that an earlier release of this chart made: rendered as it is, so that Helm leaves it.
       Secrets are made by the Job trawler-secrets now, and no random value is ever rendered.
       Arguments: root, name, component. */ -}}
{{- define "trawler.keptSecret" -}}
{{- $old := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if $old -}}
{{- if eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $old) .root.Release.Name }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  labels: {{- include "trawler.labels" . | nindent 4 }}
  annotations: {{- include "trawler.keep" . | nindent 4 }}
type: Opaque
data: {{- toYaml $old.data | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Which secrets the Job has to make, unless they are there: words for its command line. */ -}}
{{- define "trawler.secretsToMake" -}}
{{- if and .Values.store.embedded (not .Values.store.credentialsSecret) }} store{{ end -}}
{{- if include "trawler.bot" . -}}
{{- if not .Values.bot.keySecret }} bot-key{{ end -}}
{{- if and .Values.postgres.embedded (not .Values.postgres.credentialsSecret) }} postgres{{ end -}}
{{- if eq (include "trawler.bot" .) "sandbox" }} sandbox-token{{ end -}}
{{- end -}}
{{- end }}

{{- define "trawler.storePrefix" -}}
{{- $prefix := .Values.store.prefix | default .Release.Namespace -}}
{{- if and (eq $prefix "media") (not .Values.store.embedded) -}}
{{- fail "store.prefix: media is where all installs stored before; choose another" -}}
{{- end -}}
{{ $prefix }}
{{- end }}

{{- /* For every pod of ours. */ -}}
{{- define "trawler.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Pod Security `restricted`, for every pod of ours. */ -}}
{{- define "trawler.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: 10000
fsGroup: 10000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "trawler.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Where a Cobalt is that is not in the worker pods; empty: nowhere. */ -}}
{{- define "trawler.cobaltUrl" -}}
{{- if .Values.cobalt.url }}{{ .Values.cobalt.url }}
{{- else if .Values.sandbox.enabled }}http://cobalt:9000{{ end }}
{{- end }}

{{- /* Annotations of what runs before an install or upgrade; the argument is the weight. */ -}}
{{- define "trawler.installHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* Hook annotations; the argument is the weight. */ -}}
{{- define "trawler.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
