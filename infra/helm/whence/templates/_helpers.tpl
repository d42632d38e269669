{{/* What every pod of the chart has: the image, the settings, the secret, the home. */}}
{{- define "whence.labels" -}}
app.kubernetes.io/name: whence
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "whence.pod" -}}
metadata:
  labels:
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    app.kubernetes.io/component: {{ .component }}
  annotations:
    checksum/settings: {{ .root.Values.settings | sha256sum }}
spec:
  securityContext:
    { runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, fsGroupChangePolicy: OnRootMismatch, seccompProfile: { type: RuntimeDefault } }
  terminationGracePeriodSeconds: 30
  containers:
    - name: {{ .component }}
      image: {{ printf "%s:%s" .root.Values.image.repository .root.Values.image.tag }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: {{ toJson .command }}
      envFrom: [{ secretRef: { name: {{ .root.Values.secret }} } }]
      env:
        - { name: MLFLOW_TRACKING_URI, value: "http://{{ .root.Release.Name }}-mlflow:5000" }
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
      resources: {{ toJson .resources }}
      {{- if .port }}
      ports: [{ name: http, containerPort: {{ .port }} }{{ if .admin }}, { name: admin, containerPort: {{ .admin }} }{{ end }}]
      {{- end }}
      {{- if .ready }}
      readinessProbe: { httpGet: { path: {{ .ready }}, port: http }, periodSeconds: 2, failureThreshold: 2 }
      livenessProbe: { httpGet: { path: {{ .live }}, port: http }, periodSeconds: 10, failureThreshold: 6 }
      {{- end }}
      volumeMounts:
        - { name: home, mountPath: /var/lib/whence }
        - { name: settings, mountPath: /etc/whence, readOnly: true }
  volumes:
    - { name: home, persistentVolumeClaim: { claimName: {{ .root.Values.home.claim }} } }
    - { name: settings, configMap: { name: {{ .root.Release.Name }}-settings } }
{{- end }}
