"""The order of fields in Go's structs, which responses have and OpenAPI does not.

By definition, as k8s.io/api declares them; fields that are not listed follow in alphabetical order,
and every kind begins with its metadata.
"""

_TEMPLATE = "replicas selector template"
_CONTAINER = (
    "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy "
    "restartPolicyRules volumeMounts volumeDevices livenessProbe readinessProbe startupProbe "
    "lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext "
    "stdin stdinOnce tty"
)
_CONDITION = "type observedGeneration status lastProbeTime lastTransitionTime reason message"
_RULE = "verbs apiGroups resources resourceNames nonResourceURLs"
_OWNER = "apiVersion kind name uid controller blockOwnerDeletion"
_REFERENCE = "kind namespace name uid apiVersion resourceVersion fieldPath"
ORDER = {
    "core.v1.PodSpec": "volumes initContainers containers ephemeralContainers restartPolicy "
    "terminationGracePeriodSeconds activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName "
    "serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC "
    "shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity "
    "schedulerName tolerations hostAliases priorityClassName priority dnsConfig readinessGates "
    "runtimeClassName enableServiceLinks preemptionPolicy overhead topologySpreadConstraints "
    "setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources",
    "core.v1.PodStatus": "observedGeneration phase conditions message reason nominatedNodeName "
    "hostIP hostIPs podIP podIPs startTime initContainerStatuses containerStatuses qosClass "
    "ephemeralContainerStatuses resize",
    "core.v1.Container": _CONTAINER,
    "core.v1.EphemeralContainer": f"{_CONTAINER} targetContainerName",
    "core.v1.ContainerPort": "name hostPort containerPort protocol hostIP",
    "core.v1.EnvVar": "name value valueFrom",
    "core.v1.ResourceRequirements": "limits requests claims",
    "core.v1.VolumeMount": "name readOnly recursiveReadOnly mountPath subPath mountPropagation "
    "subPathExpr",
    "core.v1.Volume": "name",
    "core.v1.ProjectedVolumeSource": "sources defaultMode",
    "core.v1.VolumeProjection": "secret downwardAPI configMap serviceAccountToken",
    "core.v1.ServiceAccountTokenProjection": "audience expirationSeconds path",
    "core.v1.ConfigMapProjection": "name items optional",
    "core.v1.ConfigMapVolumeSource": "name items defaultMode optional",
    "core.v1.SecretVolumeSource": "secretName items defaultMode optional",
    "core.v1.DownwardAPIVolumeFile": "path fieldRef resourceFieldRef mode",
    "core.v1.ObjectFieldSelector": "apiVersion fieldPath",
    "core.v1.KeyToPath": "key path mode",
    "core.v1.Probe": "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds "
    "periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds",
    "core.v1.HTTPGetAction": "path port host scheme httpHeaders",
    "core.v1.Toleration": "key operator value effect tolerationSeconds",
    "core.v1.PodCondition": _CONDITION,
    "core.v1.ContainerStatus": "name state lastState ready restartCount image imageID containerID "
    "started allocatedResources resources volumeMounts user",
    "core.v1.ConfigMap": "metadata immutable data binaryData",
    "core.v1.Secret": "metadata immutable data stringData type",
    "core.v1.ServiceAccount": "metadata secrets imagePullSecrets automountServiceAccountToken",
    "core.v1.ServiceSpec": "ports selector clusterIP clusterIPs type externalIPs sessionAffinity "
    "loadBalancerIP loadBalancerSourceRanges externalName externalTrafficPolicy "
    "healthCheckNodePort publishNotReadyAddresses sessionAffinityConfig ipFamilies ipFamilyPolicy "
    "allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution",
    "core.v1.ServicePort": "name protocol appProtocol port targetPort nodePort",
    "core.v1.Event": "metadata involvedObject reason message source firstTimestamp lastTimestamp "
    "count type eventTime series action related reportingComponent reportingInstance",
    "core.v1.ObjectReference": _REFERENCE,
    "core.v1.EventSource": "component host",
    "core.v1.NodeSpec": "podCIDR podCIDRs providerID unschedulable taints configSource externalID",
    "core.v1.NodeStatus": "capacity allocatable phase conditions addresses daemonEndpoints "
    "nodeInfo images volumesInUse volumesAttached config",
    "core.v1.PersistentVolumeClaimSpec": "accessModes selector resources volumeName "
    "storageClassName volumeMode dataSource dataSourceRef volumeAttributesClassName",
    "core.v1.PersistentVolumeSpec": "capacity",
    "core.v1.LimitRangeItem": "type max min default defaultRequest maxLimitRequestRatio",
    "core.v1.ResourceQuotaStatus": "hard used",
    "core.v1.EndpointSubset": "addresses notReadyAddresses ports",
    "core.v1.EndpointAddress": "ip hostname nodeName targetRef",
    "core.v1.EndpointPort": "name port protocol appProtocol",
    "core.v1.NamespaceStatus": "phase conditions",
    "apps.v1.DeploymentSpec": f"{_TEMPLATE} strategy minReadySeconds revisionHistoryLimit paused "
    "progressDeadlineSeconds",
    "apps.v1.DeploymentStatus": "observedGeneration replicas updatedReplicas readyReplicas "
    "availableReplicas unavailableReplicas terminatingReplicas conditions collisionCount",
    "apps.v1.DeploymentStrategy": "type rollingUpdate",
    "apps.v1.RollingUpdateDeployment": "maxUnavailable maxSurge",
    "apps.v1.DeploymentCondition": "type status lastUpdateTime lastTransitionTime reason message",
    "apps.v1.ReplicaSetSpec": "replicas minReadySeconds selector template",
    "apps.v1.ReplicaSetStatus": "replicas fullyLabeledReplicas readyReplicas availableReplicas "
    "terminatingReplicas observedGeneration conditions",
    "apps.v1.StatefulSetSpec": f"{_TEMPLATE} volumeClaimTemplates serviceName podManagementPolicy "
    "updateStrategy revisionHistoryLimit minReadySeconds persistentVolumeClaimRetentionPolicy "
    "ordinals",
    "apps.v1.StatefulSetStatus": "observedGeneration replicas readyReplicas currentReplicas "
    "updatedReplicas currentRevision updateRevision collisionCount conditions availableReplicas",
    "apps.v1.StatefulSetUpdateStrategy": "type rollingUpdate",
    "apps.v1.DaemonSetSpec": "selector template updateStrategy minReadySeconds "
    "revisionHistoryLimit",
    "apps.v1.DaemonSetUpdateStrategy": "type rollingUpdate",
    "apps.v1.RollingUpdateDaemonSet": "maxUnavailable maxSurge",
    "apps.v1.DaemonSetStatus": "currentNumberScheduled numberMisscheduled desiredNumberScheduled "
    "numberReady observedGeneration updatedNumberScheduled numberAvailable numberUnavailable",
    "batch.v1.JobSpec": "parallelism completions activeDeadlineSeconds podFailurePolicy "
    "successPolicy backoffLimit backoffLimitPerIndex maxFailedIndexes selector manualSelector "
    "template ttlSecondsAfterFinished completionMode suspend podReplacementPolicy managedBy",
    "batch.v1.JobStatus": "conditions startTime completionTime active succeeded failed terminating "
    "completedIndexes failedIndexes uncountedTerminatedPods ready",
    "batch.v1.JobCondition": "type status lastProbeTime lastTransitionTime reason message",
    "batch.v1.CronJobSpec": "schedule timeZone startingDeadlineSeconds concurrencyPolicy suspend "
    "jobTemplate successfulJobsHistoryLimit failedJobsHistoryLimit",
    "autoscaling.v2.HorizontalPodAutoscalerSpec": "scaleTargetRef minReplicas maxReplicas metrics",
    "autoscaling.v2.CrossVersionObjectReference": "kind name apiVersion",
    "autoscaling.v2.MetricSpec": "type",
    "networking.v1.NetworkPolicySpec": "podSelector ingress egress policyTypes",
    "networking.v1.IngressSpec": "ingressClassName defaultBackend tls rules",
    "networking.v1.IngressServiceBackend": "name port",
    "networking.v1.HTTPIngressPath": "path pathType backend",
    "policy.v1.PodDisruptionBudgetSpec": "minAvailable selector maxUnavailable",
    "rbac.v1.PolicyRule": _RULE,
    "rbac.v1.Role": "metadata rules",
    "rbac.v1.ClusterRole": "metadata rules aggregationRule",
    "rbac.v1.RoleBinding": "metadata subjects roleRef",
    "rbac.v1.ClusterRoleBinding": "metadata subjects roleRef",
    "rbac.v1.Subject": "kind apiGroup name namespace",
    "rbac.v1.RoleRef": "apiGroup kind name",
    "storage.v1.StorageClass": "metadata provisioner parameters reclaimPolicy mountOptions "
    "allowVolumeExpansion volumeBindingMode allowedTopologies",
    "coordination.v1.LeaseSpec": "holderIdentity leaseDurationSeconds acquireTime renewTime "
    "leaseTransitions strategy preferredHolder",
    "discovery.v1.EndpointSlice": "metadata addressType endpoints ports",
    "discovery.v1.Endpoint": "addresses conditions hostname targetRef deprecatedTopology nodeName "
    "zone hints",
    "discovery.v1.EndpointPort": "name protocol port appProtocol",
    "certificates.v1.CertificateSigningRequestSpec": "request signerName expirationSeconds usages "
    "username uid groups extra",
    "events.v1.Event": "metadata eventTime series reportingController reportingInstance action "
    "reason regarding related note type deprecatedSource deprecatedFirstTimestamp "
    "deprecatedLastTimestamp deprecatedCount",
    "CustomResourceDefinitionSpec": "group names scope versions conversion preserveUnknownFields",
    "CustomResourceDefinitionNames": "plural singular shortNames kind listKind categories",
    "CustomResourceDefinitionVersion": "name served storage deprecated deprecationWarning schema "
    "subresources additionalPrinterColumns selectableFields",
    "CustomResourceDefinitionStatus": "conditions acceptedNames storedVersions",
    "CustomResourceColumnDefinition": "name type format description priority jsonPath",
    "OwnerReference": _OWNER,
    "LabelSelector": "matchLabels matchExpressions",
    "LabelSelectorRequirement": "key operator values",
    "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation "
    "creationTimestamp deletionTimestamp deletionGracePeriodSeconds labels annotations "
    "ownerReferences finalizers managedFields",
    "Condition": "type status observedGeneration lastTransitionTime reason message",
}


def ordered(name: str, properties: list[str]) -> list[str]:
    """The names of a definition's fields in their order; ``name`` is the short one."""
    first = ORDER.get(name, "metadata spec status").split()
    rank = {key: place for place, key in enumerate(["kind", "apiVersion", *first])}
    if "metadata" not in properties:
        del rank["kind"], rank["apiVersion"]
        rank = {key: place for place, key in enumerate(first)}
    return sorted(properties, key=lambda key: (rank.get(key, len(rank)), key))
