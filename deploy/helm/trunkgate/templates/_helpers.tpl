{{/* Name of the chart. */}}
{{- define "trunkgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the release's objects: the release, with the chart's name unless it contains it. */}}
{{- define "trunkgate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "trunkgate.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "trunkgate.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that select the pods; they never change. */}}
{{- define "trunkgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trunkgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "trunkgate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "trunkgate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Name of the service account. */}}
{{- define "trunkgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "trunkgate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Image with its digest, else its tag. */}}
{{- define "trunkgate.image" -}}
{{- $repository := required "image.repository is missing: name the image in a registry that the nodes can reach" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* httpGet of a probe: the address, without the path. */}}
{{- define "trunkgate.probeAddress" -}}
host: {{ .Values.http.host | quote }}
port: {{ .Values.http.port }}
scheme: {{ .Values.http.scheme }}
{{- end }}
