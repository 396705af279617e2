//! The texts are what Apache Kafka 4.3.1 answered to the same requests by its AdminClient.

use super::*;
use crate::decide::create_topic::tests::lone_node;

fn decide(feature: &str, level: i16, upgrade_type: UpgradeType) -> Result<usize, String> {
    let updates = [FeatureUpdate { feature: feature.to_owned(), level, upgrade_type }];
    update_features(&lone_node(), 1, &updates).map(|records| records.len()).map_err(|refusal| {
        assert_eq!(refusal.code, ErrorCode::InvalidUpdateVersion);
        refusal.message.unwrap()
    })
}

#[test]
fn a_refused_level_gets_apaches_text() {
    use UpgradeType::*;
    let table = [
        (
            ("nope", 1, Upgrade),
            "Invalid update version 1 for feature nope. Local controller 1 does not support this feature.",
        ),
        (
            (TRANSACTION_VERSION, 9, Upgrade),
            "Invalid update version 9 for feature transaction.version. Local controller 1 only supports versions \
             0-2",
        ),
        (
            (TRANSACTION_VERSION, 1, Upgrade),
            "Invalid update version 1 for feature transaction.version. Can't downgrade the version of this \
             feature without setting the upgrade type to either safe or unsafe downgrade.",
        ),
        (
            (METADATA_VERSION, 25, SafeDowngrade),
            "Unsupported metadata.version downgrade from 30 to 25. Refusing to perform the requested downgrade \
             because it might delete metadata information.",
        ),
        (
            (METADATA_VERSION, 25, UnsafeDowngrade),
            "Unsupported metadata.version downgrade from 30 to 25. Unsafe metadata downgrade is not supported in \
             this version.",
        ),
        (
            (METADATA_VERSION, 3, SafeDowngrade),
            "Invalid update version 3 for feature metadata.version. Local controller 1 only supports versions \
             7-30",
        ),
    ];
    for ((feature, level, upgrade_type), text) in table {
        assert_eq!(decide(feature, level, upgrade_type), Err(text.to_owned()));
    }
    assert_eq!(decide(TRANSACTION_VERSION, 1, SafeDowngrade), Ok(1));
    assert_eq!(decide(METADATA_VERSION, 30, Upgrade), Ok(1));
}
