//! What makes and joins a cluster: the data directory, the CA and its certificates, kubeconfigs, tokens, the join.
