//! Who may do what.

/// What a token may do.
#[derive(Clone, Debug, Default)]
pub struct Role {
    pub rules: Vec<Rule>,
}

/// As in a Role or ClusterRole. `*` stands for all.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Absent: at the cluster scope, and so in every namespace.
    pub namespace: Option<String>,
    /// `""` is the core group.
    pub groups: Vec<String>,
    /// `pods`, `pods/log`.
    pub resources: Vec<String>,
    pub verbs: Vec<String>,
    /// Empty: every name.
    pub names: Vec<String>,
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Role {
    /// May do everything.
    pub fn admin() -> Self {
        Self::default().may(None, &["*"], &["*"], &["*"])
    }

    /// The role of the recorded answers, in one namespace: it reads workloads, scales them, evicts, and restarts one.
    pub fn recorded(namespace: &str) -> Self {
        let here = Some(namespace);
        let mut role = Self::default()
            .may(here, &[""], &["pods", "pods/log", "events"], &["get", "list", "watch"])
            .may(here, &["apps"], &["deployments", "replicasets"], &["get", "list", "watch"])
            .may(here, &["apps"], &["deployments/scale"], &["get", "patch"])
            .may(here, &["apps"], &["deployments"], &["patch"])
            .may(here, &[""], &["pods/eviction"], &["create"]);
        for rule in &mut role.rules {
            if rule.verbs == ["patch"] {
                rule.names = owned(&["web"]);
            }
        }
        role
    }

    #[must_use]
    pub fn may(
        mut self,
        namespace: Option<&str>,
        groups: &[&str],
        resources: &[&str],
        verbs: &[&str],
    ) -> Self {
        self.rules.push(Rule {
            namespace: namespace.map(str::to_owned),
            groups: owned(groups),
            resources: owned(resources),
            verbs: owned(verbs),
            names: Vec::new(),
        });
        self
    }

    pub(crate) fn allows(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        self.rules.iter().any(|rule| {
            let here =
                rule.namespace.is_none() || (namespace.is_some() && rule.namespace.as_deref() == namespace);
            let named = rule.names.is_empty() || name.is_some_and(|name| has(&rule.names, name));
            here && named
                && has(&rule.groups, group)
                && has(&rule.resources, resource)
                && has(&rule.verbs, verb)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_role_may_what_it_was_recorded_to() {
        let role = Role::recorded("default");
        let may =
            |verb, group, resource, namespace, name| role.allows(verb, group, resource, namespace, name);
        assert!(may("list", "", "pods", Some("default"), None));
        assert!(may("patch", "apps", "deployments/scale", Some("default"), Some("web")));
        assert!(may("patch", "apps", "deployments", Some("default"), Some("web")));
        assert!(!may("patch", "apps", "deployments", Some("default"), Some("other")));
        assert!(!may("delete", "", "pods", Some("default"), Some("web-1")));
        assert!(!may("list", "", "pods", None, None));
        assert!(!may("list", "", "nodes", None, None));
        assert!(!may("get", "", "secrets", Some("default"), Some("x")));
        assert!(!may("list", "", "pods", Some("kube-system"), None));
    }
}
