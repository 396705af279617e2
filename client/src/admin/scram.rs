//! Passwords of users for SCRAM (KIP-554): describe, set, delete.
//!
//! Called by `kafka-configs`. A password is salted here and never sent.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bytes::Bytes;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use millstream_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use millstream_protocol::messages::describe_user_scram_credentials_request::UserName;
use millstream_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};

use super::ask::To;
use super::{Admin, only_retriable};
use crate::connection::sasl::Secret;
use crate::connection::scram::ScramHash;
use crate::error::{ClientError, check};
use crate::metadata::text;

/// How a user's password is kept: the hash and its iterations (Java: `ScramCredentialInfo`). A hash that came after this
/// release is left out.
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use client::admin::ScramCredentials;
///
///
/// for (user, credentials) in admin.describe_user_scram_credentials(None).await? {
///     let credentials: ScramCredentials = credentials?;
///     println!("{user}: {credentials:?}");
/// }
/// # Ok(()) }
/// ```
pub type ScramCredentials = Vec<(ScramHash, u32)>;

/// A change of a user's password (Java: `UserScramCredentialAlteration`).
///
/// ```no_run
/// # async fn example(admin: client::admin::Admin) -> Result<(), client::error::ClientError> {
/// use std::collections::BTreeMap;
/// use std::num::NonZeroU32;
///
/// use client::admin::ScramChange;
/// use client::connection::sasl::Secret;
/// use client::connection::scram::ScramHash;
///
/// let (iterations, password) = (NonZeroU32::new(8192).expect("not zero"), Secret::new("open sesame"));
/// let set = ScramChange::Set { hash: ScramHash::Sha256, iterations, password };
/// println!("{:?}", admin.alter_user_scram_credentials(&BTreeMap::from([("alice".to_owned(), vec![set])])).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramChange {
    /// Sets it.
    Set {
        /// By this hash.
        hash: ScramHash,
        /// Hashed so often; 4096 at least.
        iterations: NonZeroU32,
        /// What it is.
        password: Secret,
    },
    /// Takes it back.
    Delete(ScramHash),
}

impl Admin {
    /// How the passwords of users, of all for None, are kept; the answer of each stands beside the name.
    ///
    /// # Errors
    /// The broker's about the whole.
    pub async fn describe_user_scram_credentials(
        &self,
        users: Option<&[String]>,
    ) -> Result<BTreeMap<String, Result<ScramCredentials, ClientError>>, ClientError> {
        let wanted = users.map(|users| users.iter().map(|name| UserName::default().with_name(text(name))).collect());
        let request = DescribeUserScramCredentialsRequest::default().with_users(wanted);
        let judge = |response: &DescribeUserScramCredentialsResponse| {
            check(response.error_code, response.error_message.as_deref())
        };
        let (response, from) = self.ask(To::Any, &request, judge).await?;
        let results = response.results.into_iter().map(|own| {
            let known = own.credential_infos.iter().filter_map(|info| {
                let hash =
                    [ScramHash::Sha256, ScramHash::Sha512].into_iter().find(|hash| *hash as i8 == info.mechanism)?;
                Some((hash, info.iterations.unsigned_abs()))
            });
            let user = own.user.to_string();
            let verdict = from.says(named(&user), own.error_code, own.error_message.as_deref());
            (user, verdict.map(|()| known.collect()))
        });
        Ok(match users {
            Some(users) => from.each(users.iter().cloned(), results, |user| named(user)),
            None => results.collect(),
        })
    }

    /// Sets and takes back passwords; the answer of each stands beside the name. Apache's broker takes one change of a
    /// user in a call.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn alter_user_scram_credentials(
        &self,
        changes: &BTreeMap<String, Vec<ScramChange>>,
    ) -> Result<BTreeMap<String, Result<(), ClientError>>, ClientError> {
        let (mut deletions, mut upsertions) = (Vec::new(), Vec::new());
        for (user, changes) in changes {
            for change in changes {
                match change {
                    ScramChange::Delete(hash) => {
                        deletions
                            .push(ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(*hash as i8));
                    }
                    ScramChange::Set { hash, iterations, password } => {
                        let salt = rand::random::<[u8; 32]>();
                        let salted = hash.salted(password.expose(), &salt, *iterations);
                        let upsertion = ScramCredentialUpsertion::default()
                            .with_name(text(user))
                            .with_mechanism(*hash as i8)
                            .with_iterations(i32::try_from(iterations.get()).unwrap_or(i32::MAX))
                            .with_salt(Bytes::copy_from_slice(&salt))
                            .with_salted_password(Bytes::from(salted));
                        upsertions.push(upsertion);
                    }
                }
            }
        }
        let request = AlterUserScramCredentialsRequest::default().with_deletions(deletions).with_upsertions(upsertions);
        let judge = |response: &AlterUserScramCredentialsResponse| {
            let mut results = response.results.iter();
            results.try_for_each(|own| check(own.error_code, None).or_else(only_retriable))
        };
        let (response, from) = self.ask(To::Any, &request, judge).await?;
        let results = response.results.iter();
        let verdict = |own: &AlterUserScramCredentialsResult| {
            let user = own.user.to_string();
            let said = from.says(named(&user), own.error_code, own.error_message.as_deref());
            (user, said)
        };
        Ok(from.each(changes.keys().cloned(), results.map(verdict), |user| named(user)))
    }
}

fn named(user: &str) -> String {
    format!("user {user}")
}

/// Whether an error says that a user has no password to describe or delete.
pub fn is_unknown_user(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::ResourceNotFound)
}
