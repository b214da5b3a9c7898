//! The nodes and what is placed on them, as far as the caches and our own decisions tell.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node::{Node, NodeSpec};
use crate::pod::Pod;

/// All nodes, in one array for scanning.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    places: HashMap<Box<str>, usize>,
    /// Which node each placed pod is on.
    placed: HashMap<Box<str>, Box<str>>,
    /// Pods on nodes that are not known (yet, or any more).
    stray: HashMap<Box<str>, Vec<Arc<Pod>>>,
}

impl Cluster {
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Takes over a node; whether scheduling could go another way because of it.
    pub(crate) fn put_node(&mut self, spec: NodeSpec) -> bool {
        if let Some(&at) = self.places.get(&spec.name) {
            let node = &mut self.nodes[at];
            let changed = *node.spec != spec;
            node.spec = Arc::new(spec);
            return changed;
        }
        let mut node = Node::default();
        for pod in self.stray.remove(&spec.name).unwrap_or_default() {
            node.add(pod);
        }
        self.places.insert(spec.name.clone(), self.nodes.len());
        node.spec = Arc::new(spec);
        self.nodes.push(node);
        true
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        let Some(at) = self.places.remove(name) else { return };
        let gone = self.nodes.swap_remove(at);
        if let Some(moved) = self.nodes.get(at) {
            self.places.insert(moved.spec.name.clone(), at);
        }
        if !gone.pods.is_empty() {
            self.stray.insert(name.into(), gone.pods.into_values().collect());
        }
    }

    /// Counts a pod on a node: bound, or about to be.
    pub(crate) fn place(&mut self, pod: Arc<Pod>, node: &str) {
        if self.placed.get(&pod.key).is_some_and(|on| **on != *node) {
            self.remove_pod(&pod.key);
        }
        self.placed.insert(pod.key.clone(), node.into());
        match self.places.get(node) {
            Some(&at) => self.nodes[at].add(pod),
            None => {
                let strays = self.stray.entry(node.into()).or_default();
                strays.retain(|other| other.key != pod.key);
                strays.push(pod);
            }
        }
    }

    /// Forgets a pod; whether it had taken up room.
    pub(crate) fn remove_pod(&mut self, key: &str) -> bool {
        let Some(node) = self.placed.remove(key) else { return false };
        if let Some(&at) = self.places.get(&node) {
            return self.nodes[at].remove(key).is_some();
        }
        if let Some(strays) = self.stray.get_mut(&node) {
            strays.retain(|pod| *pod.key != *key);
            if strays.is_empty() {
                self.stray.remove(&node);
            }
        }
        false
    }

    /// The node a pod counts on.
    pub(crate) fn node_of(&self, key: &str) -> Option<&str> {
        self.placed.get(key).map(|node| &**node)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
