//! Errors as Apache's tools print them: with the name of the Java class that stands for the error code.

use client::error::ClientError;

/// The classes in `org.apache.kafka.common.errors` of codes that the tools can meet (Java: `Errors`).
const CLASSES: &[(i16, &str)] = &[
    (-1, "UnknownServerException"),
    (1, "OffsetOutOfRangeException"),
    (3, "UnknownTopicOrPartitionException"),
    (5, "LeaderNotAvailableException"),
    (6, "NotLeaderOrFollowerException"),
    (7, "TimeoutException"),
    (14, "CoordinatorLoadInProgressException"),
    (15, "CoordinatorNotAvailableException"),
    (16, "NotCoordinatorException"),
    (17, "InvalidTopicException"),
    (22, "IllegalGenerationException"),
    (24, "InvalidGroupIdException"),
    (25, "UnknownMemberIdException"),
    (27, "RebalanceInProgressException"),
    (29, "TopicAuthorizationException"),
    (30, "GroupAuthorizationException"),
    (31, "ClusterAuthorizationException"),
    (35, "UnsupportedVersionException"),
    (36, "TopicExistsException"),
    (37, "InvalidPartitionsException"),
    (38, "InvalidReplicationFactorException"),
    (39, "InvalidReplicaAssignmentException"),
    (40, "InvalidConfigurationException"),
    (42, "InvalidRequestException"),
    (44, "PolicyViolationException"),
    (54, "SecurityDisabledException"),
    (68, "GroupNotEmptyException"),
    (69, "GroupIdNotFoundException"),
    (86, "GroupSubscribedToTopicException"),
    (100, "UnknownTopicIdException"),
    (115, "UnsupportedEndpointTypeException"),
];

/// `Throwable.toString()`: class and message.
pub fn to_string(error: &ClientError) -> String {
    let found = match error {
        // Java's message repeats neither the partition nor who said it.
        ClientError::Partition { code, message, .. } | ClientError::Broker { code, message, .. } => {
            class_of(*code).map(|class| (class, message.clone()))
        }
        ClientError::Connect { .. } | ClientError::Lost { .. } | ClientError::Timeout { .. } => {
            Some(("TimeoutException", error.to_string()))
        }
        _ => None,
    };
    found.map_or_else(
        || error.message(),
        |(class, message)| format!("org.apache.kafka.common.errors.{class}: {message}"),
    )
}

fn class_of(code: i16) -> Option<&'static str> {
    CLASSES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class)
}

/// The error code by its name in Java's `Errors`, `UNKNOWN_SERVER_ERROR` for what no broker said.
pub fn code_name(error: &ClientError) -> String {
    let name = error.code().map(|code| format!("{code:?}")).unwrap_or_else(|| "UnknownServerError".to_owned());
    let mut spelt = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !spelt.is_empty() {
            spelt.push('_');
        }
        spelt.push(letter.to_ascii_uppercase());
    }
    spelt
}
