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

{{- /* Which Discord the bot speaks to: `real` with a token of yours, `sandbox` in the sandbox without
       one, empty where there is no bot. */ -}}
{{- define "trawler.bot" -}}
{{- if not .Values.bot.enabled -}}
{{- else if or .Values.bot.token .Values.bot.tokenSecret -}}
real
{{- else if .Values.sandbox.enabled -}}
sandbox
{{- end -}}
{{- end }}

{{- define "trawler.discordSecret" -}}
{{ .Values.bot.tokenSecret | default "trawler-discord" }}
{{- end }}

{{- define "trawler.postgresSecret" -}}
{{- if .Values.postgres.embedded -}}
trawler-postgres
{{- else -}}
{{ .Values.postgres.external.secret | default "trawler-postgres" }}
{{- end -}}
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

{{- /* Hook annotations; the argument is the weight. */ -}}
{{- define "trawler.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
