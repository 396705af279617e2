//! Access control lists: create, describe, delete.
//!
//! Called by `kafka-acls`. The numbers of the enums are the protocol's (Java: `ResourceType`, `PatternType`,
//! `AclOperation`, `AclPermissionType`); a number that came after this release is read as Unknown.

use millstream_protocol::messages::create_acls_request::AclCreation;
use millstream_protocol::messages::delete_acls_request::DeleteAclsFilter;
use millstream_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, DescribeAclsResponse};

use super::Admin;
use super::ask::To;
use crate::error::{ClientError, check};
use crate::metadata::text;

macro_rules! numbered {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $name:ident = $number:literal, $java:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i8)]
        pub enum $type {
            $($(#[$variant_doc])* $name = $number,)*
        }

        impl $type {
            /// Every one, in the order of the numbers.
            pub const ALL_KINDS: &[$type] = &[$($type::$name,)*];

            /// Its name in Java.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$name => $java,)*
                }
            }

            /// The one of a name, in any case; None when there is none.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL_KINDS.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
            }

            fn of(number: i8) -> Self {
                match number {
                    $($number => $type::$name,)*
                    _ => $type::Unknown,
                }
            }
        }
    };
}

numbered! {
    /// What an ACL is about.
    ResourceType {
        /// Came after this release.
        Unknown = 0, "UNKNOWN";
        /// In a filter: any.
        Any = 1, "ANY";
        /// A topic.
        Topic = 2, "TOPIC";
        /// A group.
        Group = 3, "GROUP";
        /// The cluster, by the name "kafka-cluster".
        Cluster = 4, "CLUSTER";
        /// A `transactional.id`.
        TransactionalId = 5, "TRANSACTIONAL_ID";
        /// A delegation token.
        DelegationToken = 6, "DELEGATION_TOKEN";
        /// A user.
        User = 7, "USER";
    }
}

numbered! {
    /// How the name of a resource is read.
    PatternType {
        /// Came after this release.
        Unknown = 0, "UNKNOWN";
        /// In a filter: any.
        Any = 1, "ANY";
        /// In a filter: every pattern that covers the name.
        Match = 2, "MATCH";
        /// As it stands; "*" covers all.
        Literal = 3, "LITERAL";
        /// As the beginning of names.
        Prefixed = 4, "PREFIXED";
    }
}

numbered! {
    /// What an ACL lets or forbids someone to do.
    AclOperation {
        /// Came after this release.
        Unknown = 0, "UNKNOWN";
        /// In a filter: any.
        Any = 1, "ANY";
        /// Everything.
        All = 2, "ALL";
        /// Read.
        Read = 3, "READ";
        /// Write.
        Write = 4, "WRITE";
        /// Create.
        Create = 5, "CREATE";
        /// Delete.
        Delete = 6, "DELETE";
        /// Alter.
        Alter = 7, "ALTER";
        /// Describe.
        Describe = 8, "DESCRIBE";
        /// What brokers ask of one another.
        ClusterAction = 9, "CLUSTER_ACTION";
        /// Describe configs.
        DescribeConfigs = 10, "DESCRIBE_CONFIGS";
        /// Alter configs.
        AlterConfigs = 11, "ALTER_CONFIGS";
        /// Write idempotently.
        IdempotentWrite = 12, "IDEMPOTENT_WRITE";
        /// Create delegation tokens.
        CreateTokens = 13, "CREATE_TOKENS";
        /// Describe delegation tokens.
        DescribeTokens = 14, "DESCRIBE_TOKENS";
        /// Prepare transactions for two phases.
        TwoPhaseCommit = 15, "TWO_PHASE_COMMIT";
    }
}

numbered! {
    /// Whether an ACL lets or forbids.
    AclPermission {
        /// Came after this release.
        Unknown = 0, "UNKNOWN";
        /// In a filter: any.
        Any = 1, "ANY";
        /// It forbids.
        Deny = 2, "DENY";
        /// It lets.
        Allow = 3, "ALLOW";
    }
}

/// One ACL (Java: `AclBinding`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::{AclBinding, AclOperation, AclPermission, PatternType, ResourceType};
///
///
/// let reads = AclBinding {
///     resource_type: ResourceType::Topic,
///     resource_name: "orders".to_owned(),
///     pattern_type: PatternType::Literal,
///     principal: "User:alice".to_owned(),
///     host: "*".to_owned(),
///     operation: AclOperation::Read,
///     permission: AclPermission::Allow,
/// };
/// for made in admin.create_acls(&[reads]).await? {
///     made?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclBinding {
    /// What it is about.
    pub resource_type: ResourceType,
    /// The resource's name or the beginning of it.
    pub resource_name: String,
    /// How the name is read.
    pub pattern_type: PatternType,
    /// Whom it concerns, as "User:alice".
    pub principal: String,
    /// From where, "*" for anywhere.
    pub host: String,
    /// What it lets or forbids.
    pub operation: AclOperation,
    /// Which of the two.
    pub permission: AclPermission,
}

/// Which ACLs are meant; None and Any match everything (Java: `AclBindingFilter`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::AclFilter;
///
///
/// let of_alice = AclFilter { principal: Some("User:alice".to_owned()), ..AclFilter::default() };
/// println!("{:?}", admin.describe_acls(&of_alice).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclFilter {
    /// What they are about.
    pub resource_type: ResourceType,
    /// The resource's name.
    pub resource_name: Option<String>,
    /// How the name is read.
    pub pattern_type: PatternType,
    /// Whom they concern.
    pub principal: Option<String>,
    /// From where.
    pub host: Option<String>,
    /// What they let or forbid.
    pub operation: AclOperation,
    /// Which of the two.
    pub permission: AclPermission,
}

impl Default for AclFilter {
    /// Matches every ACL.
    fn default() -> Self {
        AclFilter {
            resource_type: ResourceType::Any,
            resource_name: None,
            pattern_type: PatternType::Any,
            principal: None,
            host: None,
            operation: AclOperation::Any,
            permission: AclPermission::Any,
        }
    }
}

impl Admin {
    /// Creates ACLs; the answers stand in the order of the ACLs.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn create_acls(&self, acls: &[AclBinding]) -> Result<Vec<Result<(), ClientError>>, ClientError> {
        let creation = |acl: &AclBinding| {
            AclCreation::default()
                .with_resource_type(acl.resource_type as i8)
                .with_resource_name(text(&acl.resource_name))
                .with_resource_pattern_type(acl.pattern_type as i8)
                .with_principal(text(&acl.principal))
                .with_host(text(&acl.host))
                .with_operation(acl.operation as i8)
                .with_permission_type(acl.permission as i8)
        };
        let request = CreateAclsRequest::default().with_creations(acls.iter().map(creation).collect());
        let (response, from) = self.ask(To::Any, &request, |_| Ok(())).await?;
        let about = |acl: &AclBinding| {
            format!("the ACL of {} on {} {}", acl.principal, acl.resource_type.name(), acl.resource_name)
        };
        let verdict = |(at, acl): (usize, &AclBinding)| match response.results.get(at) {
            Some(own) => from.says(about(acl), own.error_code, own.error_message.as_deref()),
            None => Err(from.unspoken(&about(acl))),
        };
        Ok(acls.iter().enumerate().map(verdict).collect())
    }

    /// The ACLs that a filter matches.
    ///
    /// # Errors
    /// The broker's, such as a cluster without an authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Vec<AclBinding>, ClientError> {
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(filter.resource_type as i8)
            .with_resource_name_filter(filter.resource_name.as_deref().map(text))
            .with_pattern_type_filter(filter.pattern_type as i8)
            .with_principal_filter(filter.principal.as_deref().map(text))
            .with_host_filter(filter.host.as_deref().map(text))
            .with_operation(filter.operation as i8)
            .with_permission_type(filter.permission as i8);
        let judge = |response: &DescribeAclsResponse| check(response.error_code, response.error_message.as_deref());
        let (response, _) = self.ask(To::Any, &request, judge).await?;
        let mut found = Vec::new();
        for resource in response.resources {
            found.extend(resource.acls.iter().map(|acl| AclBinding {
                resource_type: ResourceType::of(resource.resource_type),
                resource_name: resource.resource_name.to_string(),
                pattern_type: PatternType::of(resource.pattern_type),
                principal: acl.principal.to_string(),
                host: acl.host.to_string(),
                operation: AclOperation::of(acl.operation),
                permission: AclPermission::of(acl.permission_type),
            }));
        }
        Ok(found)
    }

    /// Deletes the ACLs that filters match; for each filter, in order, each ACL that it matched and whether it went.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn delete_acls(
        &self,
        filters: &[AclFilter],
    ) -> Result<Vec<Result<Vec<(AclBinding, Result<(), ClientError>)>, ClientError>>, ClientError> {
        let wanted = |filter: &AclFilter| {
            DeleteAclsFilter::default()
                .with_resource_type_filter(filter.resource_type as i8)
                .with_resource_name_filter(filter.resource_name.as_deref().map(text))
                .with_pattern_type_filter(filter.pattern_type as i8)
                .with_principal_filter(filter.principal.as_deref().map(text))
                .with_host_filter(filter.host.as_deref().map(text))
                .with_operation(filter.operation as i8)
                .with_permission_type(filter.permission as i8)
        };
        let request = DeleteAclsRequest::default().with_filters(filters.iter().map(wanted).collect());
        let (response, from) = self.ask(To::Any, &request, |_| Ok(())).await?;
        let results = response.filter_results.into_iter().map(|own| {
            from.says("a filter of ACLs", own.error_code, own.error_message.as_deref())?;
            let matched = own.matching_acls.into_iter().map(|acl| {
                let about = format_args!("the ACL of {} on {}", &*acl.principal, &*acl.resource_name);
                let verdict = from.says(about, acl.error_code, acl.error_message.as_deref());
                let binding = AclBinding {
                    resource_type: ResourceType::of(acl.resource_type),
                    resource_name: acl.resource_name.to_string(),
                    pattern_type: PatternType::of(acl.pattern_type),
                    principal: acl.principal.to_string(),
                    host: acl.host.to_string(),
                    operation: AclOperation::of(acl.operation),
                    permission: AclPermission::of(acl.permission_type),
                };
                (binding, verdict)
            });
            Ok(matched.collect())
        });
        let unspoken = std::iter::repeat_with(|| Err(from.unspoken("a filter of ACLs")));
        Ok(results.chain(unspoken).take(filters.len()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for kind in AclOperation::ALL_KINDS {
            assert_eq!(AclOperation::of(*kind as i8), *kind);
            assert_eq!(AclOperation::parse(&kind.name().to_lowercase()), Some(*kind));
        }
        assert_eq!((ResourceType::of(99), PatternType::of(-1)), (ResourceType::Unknown, PatternType::Unknown));
        assert_eq!(AclPermission::parse("perhaps"), None);
    }
}
