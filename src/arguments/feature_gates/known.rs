//! The feature gates of Kubernetes 1.35, by how they stand by default.

/// On, unless switched off.
pub(super) const ON: &str = "\
    APIResponseCompression APIServerIdentity AllowParsingUserUIDFromCertAuth \
    AuthorizePodWebsocketUpgradeCreatePermission CPUManagerPolicyBetaOptions CSIServiceAccountTokenSecrets \
    ClearingNominatedNodeNameAfterBinding ContainerCheckpoint ContainerRestartRules ContextualLogging DRAAdminAccess \
    DRAPrioritizedList DRAResourceClaimDeviceStatus DRASchedulerFilterTimeout DeclarativeValidation \
    DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency DisableCPUQuotaWithExclusiveCPUs \
    DisableNodeKubeProxyVersion EnvFiles ExternalServiceAccountTokenSigner GracefulNodeShutdown \
    GracefulNodeShutdownBasedOnPodPriority HPAConfigurableTolerance HostnameOverride ImageVolume \
    KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages KubeletFineGrainedAuthz KubeletPSI \
    KubeletPodResourcesDynamicResources KubeletPodResourcesGet KubeletPodResourcesListUseActivePods \
    KubeletSeparateDiskGC KubeletServiceAccountTokenForCredentialProviders ListFromCacheSnapshot LoggingBetaOptions \
    MatchLabelKeysInPodTopologySpread MatchLabelKeysInPodTopologySpreadSelectorMerge MutableCSINodeAllocatableCount \
    NominatedNodeNameForExpectation OpenAPIEnums OpportunisticBatching PodDeletionCost PodLevelResources \
    PodReadyToStartContainersCondition PodTopologyLabelsAdmission PortForwardWebsockets \
    PreventStaticPodAPIReferences ProcMountType ReloadKubeletServerCertificateFile RemoteRequestHeaderUID \
    RotateKubeletServerCertificate SELinuxChangePolicy SELinuxMountReadWriteOncePod SchedulerAsyncPreemption \
    SchedulerPopFromBackoffQ ServiceAccountNodeAudienceRestriction SizeBasedListCostEstimate \
    StatefulSetSemanticRevisionComparison StorageNamespaceIndex StorageVersionHash \
    StructuredAuthenticationConfigurationEgressSelector StructuredAuthenticationConfigurationJWKSMetrics \
    TokenRequestServiceAccountUIDValidation TopologyManagerPolicyBetaOptions TopologyManagerPolicyOptions \
    TranslateStreamCloseWebsocketRequests UnauthenticatedHTTP2DOSMitigation UserNamespacesSupport \
    VolumeAttributesClass WatchList WindowsGracefulNodeShutdown";

/// Off, unless switched on.
pub(super) const OFF: &str = "\
    APIServingWithRoutine AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests \
    AllowUnsafeMalformedObjectDeletion CBORServingAndStorage CPUCFSQuotaPeriod CPUManagerPolicyAlphaOptions \
    CRDObservedGenerationTracking CSIVolumeHealth ChangeContainerStatusOnKubeletRestart \
    CloudControllerManagerWatchBasedRoutesReconciliation CloudControllerManagerWebhook ClusterTrustBundle \
    ClusterTrustBundleProjection ComponentFlagz ComponentStatusz ConcurrentWatchObjectDecode \
    ConstrainedImpersonation ContainerStopSignals CoordinatedLeaderElection CrossNamespaceVolumeDataSource \
    DRAConsumableCapacity DRADeviceBindingConditions DRADeviceTaintRules DRADeviceTaints DRAExtendedResource \
    DRAPartitionableDevices DeclarativeValidationTakeover EventedPLEG GangScheduling GenericWorkload \
    GitRepoVolumeDriver HPAScaleToZero InPlacePodLevelResourcesVerticalScaling \
    InPlacePodVerticalScalingAllocatedStatus InPlacePodVerticalScalingExclusiveCPUs \
    InPlacePodVerticalScalingExclusiveMemory InTreePluginPortworxUnregister KMSv1 KubeletInUserNamespace \
    KubeletRegistrationGetOnExistsOnly LocalStorageCapacityIsolationFSQuotaMonitoring LoggingAlphaOptions \
    MaxUnavailableStatefulSet MemoryQoS MutablePVNodeAffinity MutablePodResourcesForSuspendedJobs \
    MutableSchedulingDirectivesForSuspendedJobs MutatingAdmissionPolicy NodeDeclaredFeatures NodeLogQuery \
    PodAndContainerStatsFromCRI PodCertificateRequest PodLogsQuerySplitStreams QOSReserved \
    ReduceDefaultCrashLoopBackOffDecay RelaxedServiceNameValidation ResourceHealthStatus \
    RestartAllContainersOnContainerExits RuntimeClassInImageCriAPI SELinuxMount SchedulerAsyncAPICalls \
    SeparateCacheWatchRPC StorageCapacityScoring StorageVersionAPI StorageVersionMigrator StrictIPCIDRValidation \
    TaintTolerationComparisonOperators TopologyManagerPolicyAlphaOptions UnknownVersionInteroperabilityProxy \
    UserNamespacesHostNetworkSupport VolumeLimitScaling WatchCacheInitializationPostStartHook \
    WindowsCPUAndMemoryAffinity WindowsHostNetwork";

/// On, for good.
pub(super) const LOCKED_ON: &str = "\
    APIServerTracing AggregatedDiscoveryRemoveBetaType AnonymousAuthConfigurableEndpoints AnyVolumeDataSource \
    AuthorizeNodeWithSelectors AuthorizeWithSelectors BtreeWatchCache CPUManagerPolicyOptions \
    CRDValidationRatcheting CSIMigrationPortworx ConsistentListFromCache CustomResourceFieldSelectors \
    DisableAllocatorDualWrite DynamicResourceAllocation ExecProbeTimeout HonorPVReclaimPolicy ImageMaximumGCAge \
    InPlacePodVerticalScaling JobBackoffLimitPerIndex JobManagedBy JobPodReplacementPolicy JobSuccessPolicy \
    KubeletCgroupDriverFromCRI KubeletTracing LogarithmicScaleDown MatchLabelKeysInPodAffinity MemoryManager \
    MultiCIDRServiceAllocator NFTablesProxyMode NodeInclusionPolicyInPodTopologySpread NodeSwap \
    OrderedNamespaceDeletion PodLifecycleSleepAction PodLifecycleSleepActionAllowZero PodObservedGenerationTracking \
    PodSchedulingReadiness PreferSameTrafficDistribution RecoverVolumeExpansionFailure RecursiveReadOnlyMounts \
    RelaxedDNSSearchValidation RelaxedEnvironmentVariableValidation ResilientWatchCacheInitialization \
    RetryGenerateName SchedulerQueueingHints SeparateTaintEvictionController ServiceAccountTokenJTI \
    ServiceAccountTokenNodeBinding ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo \
    ServiceTrafficDistribution SidecarContainers StreamingCollectionEncodingToJSON \
    StreamingCollectionEncodingToProtobuf StructuredAuthenticationConfiguration StructuredAuthorizationConfiguration \
    SupplementalGroupsPolicy SystemdWatchdog TopologyAwareHints WinDSR WinOverlay";

/// Off, for good.
pub(super) const LOCKED_OFF: &str = "\
    AllowOverwriteTerminationGracePeriodSeconds WatchFromStorageWithoutResourceVersion";
