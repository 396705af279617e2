//! `meta.properties`: which cluster and node a log directory belongs to (Java: `MetaProperties`).

use uuid::Uuid;

use crate::checkpoints::{parse_uuid, render_uuid};

/// `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`
    pub cluster_id: String,
    /// `node.id`
    pub node_id: i32,
    /// `directory.id`
    pub directory_id: Uuid,
}

impl MetaProperties {
    /// Reads the file's text (a Java properties file).
    pub(crate) fn parse(text: &str) -> Result<MetaProperties, String> {
        let value = |key: &str| {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
            lines.find_map(|line| {
                let (name, value) = line.split_once(['=', ':'])?;
                if name.trim() == key { Some(value.trim()) } else { None }
            })
        };
        let version = value("version").ok_or("it has no version")?;
        if version != "1" {
            return Err(format!("version {version} is not 1"));
        }
        let node_id = value("node.id").ok_or("it has no node.id")?;
        let directory_id = value("directory.id").and_then(parse_uuid).unwrap_or_else(Uuid::nil);
        Ok(MetaProperties {
            cluster_id: value("cluster.id").ok_or("it has no cluster.id")?.to_owned(),
            node_id: node_id.parse().map_err(|_| format!("node.id {node_id} is no number"))?,
            directory_id,
        })
    }

    /// The file's text.
    pub(crate) fn render(&self) -> String {
        format!(
            "#\n#\ncluster.id={}\ndirectory.id={}\nnode.id={}\nversion=1\n",
            self.cluster_id,
            render_uuid(self.directory_id),
            self.node_id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_survives_a_round_trip_and_a_wrong_one_is_named() {
        let meta = MetaProperties {
            cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".to_owned(),
            node_id: 1,
            directory_id: Uuid::from_u128(9),
        };
        assert_eq!(MetaProperties::parse(&meta.render()), Ok(meta));
        let apaches = "#\n#Sat Nov 21 05:00:00 UTC 2026\ncluster.id=abc\nversion=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAKg\nnode.id=3\n";
        assert_eq!(MetaProperties::parse(apaches).unwrap().directory_id, Uuid::from_u128(42));
        assert_eq!(MetaProperties::parse("version=0\n"), Err("version 0 is not 1".to_owned()));
        assert_eq!(
            MetaProperties::parse("version=1\nnode.id=x\ncluster.id=a"),
            Err("node.id x is no number".to_owned())
        );
    }
}
