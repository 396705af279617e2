#!/usr/bin/env python3
"""Writes what `protocol` derives from the message definitions in Apache Kafka's jars.

    protocol/schema/generate.py $(tests/apache/apache.sh libs)

Output, checked in and formatted by rustfmt:
    src/schema/table.rs        every request and response of the client protocol, as a table of fields
    src/messages/*.rs          the messages whose versions the crate kafka-protocol lacks
    src/record_schema/*.rs     records of the internal topics, of snapshots and of control batches
    src/record_schema/table.rs all of these and the records of cluster metadata, as tables of fields
"""
import json
import os
import re
import subprocess
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
SRC = os.path.join(HERE, "..", "src")
FAR = 32767

# Messages of which kafka-protocol lacks the newest version.
OWN_MESSAGES = [
    "ListOffsetsRequest", "ListOffsetsResponse",
    "OffsetCommitRequest", "OffsetCommitResponse",
    "OffsetFetchRequest", "OffsetFetchResponse",
    "WriteTxnMarkersRequest", "WriteTxnMarkersResponse",
    "DescribeLogDirsRequest", "DescribeLogDirsResponse",
]
RECORD_SCHEMAS = [
    ("kafka-group-coordinator", "LegacyOffsetCommitKey"), ("kafka-group-coordinator", "LegacyOffsetCommitValue"),
    ("kafka-group-coordinator", "OffsetCommitKey"), ("kafka-group-coordinator", "OffsetCommitValue"),
    ("kafka-group-coordinator", "GroupMetadataKey"), ("kafka-group-coordinator", "GroupMetadataValue"),
    ("kafka-transaction-coordinator", "TransactionLogKey"), ("kafka-transaction-coordinator", "TransactionLogValue"),
    ("kafka-storage", "ProducerSnapshot"),
    ("kafka-clients", "EndTxnMarker"), ("kafka-clients", "LeaderChangeMessage"),
]
ENTITIES = {"topicName": "TopicName", "groupId": "GroupId", "transactionalId": "TransactionalId",
            "producerId": "ProducerId", "brokerId": "BrokerId"}
SCALARS = {"bool": ("bool", 1), "int8": ("i8", 1), "int16": ("i16", 2), "uint16": ("u16", 2), "int32": ("i32", 4),
           "uint32": ("u32", 4), "int64": ("i64", 8), "float64": ("f64", 8), "uuid": ("Uuid", 16)}


def read_jar(libs, jar):
    found = {}
    path = next(os.path.join(libs, n) for n in sorted(os.listdir(libs))
                if re.fullmatch(re.escape(jar) + r"-\d.*\.jar", n))
    with zipfile.ZipFile(path) as z:
        for name in z.namelist():
            if name.endswith(".json") and ("message/" in name or "metadata/" in name):
                text = z.read(name).decode()
                text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
                text = re.sub(r'([,\]\}"0-9])\s*//[^"\n]*$', r"\1", text, flags=re.M)
                message = json.loads(text)
                found[message["name"]] = message
    return found


def versions(text):
    """(low, high), or None for none."""
    if text in (None, "none"):
        return None
    if text.endswith("+"):
        return int(text[:-1]), FAR
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def snake(name):
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return {"type": "_type"}.get(name.lower(), name.lower())


def cut(inner, outer):
    """The part of `inner` inside `outer`, or None."""
    if inner is None or outer is None:
        return None
    low, high = max(inner[0], outer[0]), min(inner[1], outer[1])
    return (low, high) if low <= high else None


# ---------------------------------------------------------------- the table

class Table:
    def __init__(self):
        self.lines = []

    def kind(self, field, message, structs):
        kind = field["type"]
        if kind.startswith("[]"):
            return "Array(&%s)" % self.kind(dict(field, type=kind[2:]), message, structs)
        plain = {"bool": "Bool", "int8": "Int8", "int16": "Int16", "uint16": "Uint16", "int32": "Int32",
                 "uint32": "Uint32", "int64": "Int64", "float64": "Float64", "uuid": "Uuid", "string": "String",
                 "bytes": "Bytes", "records": "Records"}
        if kind in plain:
            return plain[kind]
        return "Struct(&[%s])" % ", ".join(self.fields(field.get("fields") or structs[kind], message, structs))

    def fields(self, fields, message, structs):
        out = []
        for field in fields:
            span = cut(versions(field.get("versions")), message["span"]) or \
                cut(versions(field.get("taggedVersions")), message["span"])
            if span is None:
                continue
            nullable = cut(versions(field.get("nullableVersions")), message["span"]) or (1, 0)
            flexible = versions(field["flexibleVersions"]) if "flexibleVersions" in field else message["flex"]
            flexible = flexible or (1, 0)
            tag = field.get("tag", -1)
            out.append('F::new("%s", %s, (%d, %d), (%d, %d), (%d, %d), %d)' % (
                field["name"], self.kind(field, message, structs), *span, *nullable, *flexible, tag))
        return out


def table(clients):
    apis = {}
    for message in clients.values():
        if message["type"] in ("request", "response") and versions(message["validVersions"]):
            apis.setdefault(message["apiKey"], {})[message["type"]] = message
    out = ["//! Generated by protocol/schema/generate.py from the definitions in kafka-clients; do not edit.",
           "//!", "//! Each row: name, kind, versions, nullable versions, flexible versions, tag (-1 for none).", "",
           "use super::Field as F;", "use super::Kind::*;", "use super::Message;", "",
           "/// Request and response of every API, by key.",
           "#[rustfmt::skip]",
           "pub static MESSAGES: &[(i16, Message, Message)] = &["]
    for key in sorted(apis):
        row = []
        for kind in ("request", "response"):
            message = apis[key][kind]
            span, flex = versions(message["validVersions"]), versions(message["flexibleVersions"]) or (1, 0)
            structs = {s["name"]: s["fields"] for s in message.get("commonStructs", [])}
            fields = Table().fields(message["fields"], {"span": span, "flex": flex}, structs)
            row.append('Message { name: "%s", versions: (%d, %d), flexible: (%d, %d), fields: &[\n        %s,\n    ] }' % (
                message["name"], *span, *flex, ",\n        ".join(fields)) if fields else
                'Message { name: "%s", versions: (%d, %d), flexible: (%d, %d), fields: &[] }' % (
                message["name"], *span, *flex))
        out.append("    (%d, %s, %s)," % (key, row[0], row[1]))
    out.append("];")
    return "\n".join(out) + "\n"


def message_row(message):
    span, flex = versions(message["validVersions"]), versions(message["flexibleVersions"]) or (1, 0)
    structs = {s["name"]: s["fields"] for s in message.get("commonStructs", [])}
    fields = Table().fields(message["fields"], {"span": span, "flex": flex}, structs)
    return 'Message { name: "%s", versions: (%d, %d), flexible: (%d, %d), fields: &[%s] }' % (
        message["name"], *span, *flex, ", ".join(fields))


# Records of control batches, and what members of a group tell one another inside of its record.
SINGLE_RECORDS = ["LeaderChangeMessage", "SnapshotHeaderRecord", "SnapshotFooterRecord", "KRaftVersionRecord",
                  "VotersRecord", "ConsumerProtocolSubscription", "ConsumerProtocolAssignment"]


def record_table(jars):
    out = ["//! Generated by protocol/schema/generate.py from the definitions in Apache Kafka's jars; do not edit.",
           "//!", "//! Each row: name, kind, versions, nullable versions, flexible versions, tag (-1 for none).", "",
           "use crate::schema::Field as F;", "use crate::schema::Kind::*;", "use crate::schema::Message;", ""]
    for topic, jar in (("__consumer_offsets", "kafka-group-coordinator"), ("__transaction_state", "kafka-transaction-coordinator"),
                       ("__share_group_state", "kafka-share-coordinator")):
        keys = {m["apiKey"]: m for m in jars[jar].values() if m["type"] == "coordinator-key"}
        values = {m["apiKey"]: m for m in jars[jar].values() if m["type"] == "coordinator-value"}
        out += ["/// Keys and values of `%s`, by kind." % topic, "#[rustfmt::skip]",
                "pub static %s: &[(i16, Message, Message)] = &[" % topic.strip("_").upper()]
        out += ["    (%d, %s, %s)," % (kind, message_row(keys[kind]), message_row(values[kind])) for kind in sorted(keys)]
        out += ["];"]
    metadata = {m["apiKey"]: m for m in jars["kafka-metadata"].values() if m["type"] == "metadata"}
    out += ["/// Records of `__cluster_metadata`, by kind, with the names of Java's `MetadataRecordType`.", "#[rustfmt::skip]",
            "pub static CLUSTER_METADATA: &[(i16, &str, Message)] = &["]
    out += ['    (%d, "%s", %s),' % (kind, snake(metadata[kind]["name"]).upper(), message_row(metadata[kind])) for kind in sorted(metadata)]
    out += ["];"]
    for name in SINGLE_RECORDS:
        out += ["/// %s" % name, "#[rustfmt::skip]",
                "pub static %s: Message = %s;" % (snake(name).upper(), message_row(jars["kafka-clients"][name]))]
    return "\n".join(out) + "\n"


# ---------------------------------------------------------------- the structs

class Field:
    def __init__(self, raw, message):
        self.raw, self.name = raw, raw["name"]
        self.rust = snake(self.name)
        self.span = cut(versions(raw.get("versions") or raw.get("taggedVersions")), message.span)
        self.nullable = versions(raw.get("nullableVersions"))
        self.tag = raw.get("tag")
        self.tagged = cut(versions(raw.get("taggedVersions")), message.span)
        self.array = raw["type"].startswith("[]")
        self.kind = raw["type"][2:] if self.array else raw["type"]
        self.flex = versions(raw["flexibleVersions"]) if "flexibleVersions" in raw else message.flex
        self.ignorable = raw.get("ignorable", False)
        self.message = message

    def element(self):
        if "entityType" in self.raw and self.raw["entityType"] in ENTITIES:
            return ENTITIES[self.raw["entityType"]]
        return {"string": "StrBytes", "bytes": "Bytes", "records": "Bytes"}.get(self.kind) or \
            (SCALARS[self.kind][0] if self.kind in SCALARS else self.kind)

    def rust_type(self):
        inner = "Vec<%s>" % self.element() if self.array else self.element()
        return "Option<%s>" % inner if self.nullable else inner

    def default(self):
        value = self.raw.get("default")
        if self.nullable and value == "null":
            return "None"
        inner = self.default_inner(value)
        return "Some(%s)" % inner if self.nullable else inner

    def default_inner(self, value):
        if self.array:
            return "Vec::new()"
        if self.kind == "bool":
            return "true" if value in (True, "true") else "false"
        if self.kind in ("uuid",):
            return "Uuid::nil()"
        if self.kind in SCALARS:
            number = str(int(str(value), 0)) if value not in (None, "") else "0"
            if self.kind == "float64":
                number = "0.0"
            return "%s(%s)" % (self.element(), number) if self.element() in ENTITIES.values() else number
        if self.kind in ("bytes", "records"):
            return "Bytes::new()"
        if self.kind == "string":
            text = 'StrBytes::from_static_str("%s")' % (value or "")
            return "%s(%s)" % (self.element(), text) if self.element() in ENTITIES.values() else text
        return "%s::default()" % self.kind

    def flexible(self):
        return condition(self.flex, self.message.span)

    # One value of the element's type.
    def put_one(self, value):
        newtype = ".0" if self.element() in ENTITIES.values() else ""
        if self.kind == "string":
            return "wire::put_string(buf, flexible, %s%s.as_str())?;" % (value, newtype)
        if self.kind in ("bytes", "records"):
            return "wire::put_bytes(buf, flexible, %s)?;" % value
        if self.kind == "uuid":
            return "buf.put_slice(%s.as_bytes());" % value
        if self.kind == "bool":
            return "buf.put_u8(u8::from(%s));" % value.replace("&", "")
        if self.kind in SCALARS:
            inner = value[1:] if value.startswith("&") else ("*" + value if value == "item" else value)
            return "buf.put_%s(%s%s);" % (SCALARS[self.kind][0], inner if not newtype else value.lstrip("&*"), newtype)
        return "%s.encode(buf, version)?;" % value

    def get_one(self):
        newtype = self.element() if self.element() in ENTITIES.values() else None
        if self.kind == "string":
            out = 'wire::get_string(buf, flexible, "%s")?' % self.name
        elif self.kind in ("bytes", "records"):
            out = 'wire::get_bytes(buf, flexible, "%s")?' % self.name
        elif self.kind in SCALARS:
            out = 'wire::get_%s(buf, "%s")?' % (SCALARS[self.kind][0].lower(), self.name)
        else:
            return "%s::decode(buf, version)?" % self.kind
        return "%s(%s)" % (newtype, out) if newtype else out

    def size_one(self, value):
        newtype = ".0" if self.element() in ENTITIES.values() else ""
        if self.kind == "string":
            return "wire::string_size(flexible, %s%s.as_str())" % (value.lstrip("&"), newtype)
        if self.kind in ("bytes", "records"):
            return "wire::bytes_size(flexible, %s)" % value
        if self.kind in SCALARS:
            return str(SCALARS[self.kind][1])
        return "%s.compute_size(version)?" % value

    def nullable_struct(self):
        return self.nullable and not self.array and self.kind not in SCALARS and \
            self.kind not in ("string", "bytes", "records")

    def put(self, out):
        value = "self.%s" % self.rust
        if self.nullable_struct():
            out += ["match &%s {" % value, "    None => buf.put_i8(-1),", "    Some(value) => {", "        buf.put_i8(1);",
                    "        value.encode(buf, version)?;", "    }", "}"]
        elif self.array:
            items = "&%s" % value
            if self.nullable:
                out += ["let Some(items) = &%s else {" % value, "    wire::put_null_array(buf, flexible);"]
                raise NotImplementedError
            out += ["wire::put_count(buf, flexible, %s.len())?;" % value, "for item in %s {" % items,
                    "    " + self.put_one("item"), "}"]
        elif self.nullable:
            null = "wire::put_null_string(buf, flexible)" if self.kind == "string" else "wire::put_null_bytes(buf, flexible)"
            out += ["match &%s {" % value, "    None => %s," % null,
                    "    Some(value) => {", "        " + self.put_one("value"), "    }", "}"]
        else:
            direct = self.kind in SCALARS or self.kind == "string"
            out.append(self.put_one(value if direct else ("&" + value if self.kind in ("bytes", "records") else value)))

    def put_array_nullable(self, out):
        out += ["match &self.%s {" % self.rust, "    None => wire::put_null_array(buf, flexible),", "    Some(items) => {",
                "        wire::put_count(buf, flexible, items.len())?;", "        for item in items {",
                "            " + self.put_one("item"), "        }", "    }", "}"]

    def size(self, out):
        value = "self.%s" % self.rust
        if self.nullable_struct():
            out += ["size += match &%s {" % value, "    None => 1,", "    Some(value) => 1 + value.compute_size(version)?,", "};"]
        elif self.array:
            scalar = self.kind in SCALARS
            if self.nullable:
                out += ["match &%s {" % value, "    None => size += wire::null_array_size(flexible),", "    Some(items) => {",
                        "        size += wire::count_size(flexible, items.len());"]
                out += ["        size += %d * items.len();" % SCALARS[self.kind][1]] if scalar else \
                    ["        for item in items {", "            size += %s;" % self.size_one("item"), "        }"]
                out += ["    }", "}"]
            else:
                out.append("size += wire::count_size(flexible, %s.len());" % value)
                out += ["size += %d * %s.len();" % (SCALARS[self.kind][1], value)] if scalar else \
                    ["for item in &%s {" % value, "    size += %s;" % self.size_one("item"), "}"]
        elif self.nullable:
            null = "wire::null_string_size(flexible)" if self.kind == "string" else "wire::null_bytes_size(flexible)"
            out += ["size += match &%s {" % value, "    None => %s," % null,
                    "    Some(value) => %s," % self.size_one("value"), "};"]
        else:
            out.append("size += %s;" % self.size_one("&" + value if self.kind in ("bytes", "records") else value))

    def get(self):
        nullable_now = condition(self.nullable, self.message.span) if self.nullable else "false"
        if self.nullable_struct():
            return "if wire::get_i8(buf, \"%s\")? < 0 { None } else { Some(%s::decode(buf, version)?) }" % (
                self.name, self.kind)
        if self.array:
            inner = "wire::get_array(buf, flexible, \"%s\", |buf| Ok(%s))?" % (self.name, self.get_one())
            if self.nullable:
                return inner.replace("get_array(", "get_nullable_array(")
            return inner
        if self.nullable:
            one = self.get_one().replace("wire::get_string(", "wire::get_nullable_string(").replace(
                "wire::get_bytes(", "wire::get_nullable_bytes(")
            if self.element() in ENTITIES.values():
                one = re.sub(r"^\w+\((.*)\)$", r"\1", one) + ".map(%s)" % self.element()
            return one
        return self.get_one()

    def is_default(self):
        value, default = "self.%s" % self.rust, self.default()
        if default == "None":
            return "%s.is_none()" % value
        if default in ("Vec::new()", "Bytes::new()") or default.endswith('from_static_str("")'):
            return "%s.is_empty()" % value
        if default == "false":
            return "!%s" % value
        return "%s == %s" % (value, default)


def condition(span, message_span):
    """The Rust condition that `version` lies in `span`, given that it lies in `message_span`."""
    inside = cut(span, message_span)
    if inside is None:
        return "false"
    low, high = inside
    parts = []
    if low > message_span[0]:
        parts.append("version >= %d" % low)
    if high < message_span[1]:
        parts.append("version <= %d" % high)
    return " && ".join(parts) or "true"


class Message:
    def __init__(self, raw):
        self.raw, self.name = raw, raw["name"]
        self.span = versions(raw["validVersions"])
        self.flex = versions(raw["flexibleVersions"])
        self.structs = []
        for common in raw.get("commonStructs", []):
            self.collect(common["name"], common["fields"])
        self.collect(self.name, raw["fields"])

    def collect(self, name, fields):
        kept = [Field(f, self) for f in fields]
        kept = [f for f in kept if f.span or f.tagged]
        for field in kept:
            if "fields" in field.raw:
                self.collect(field.kind, field.raw["fields"])
        self.structs.append((name, kept))


def span_text(span):
    return str(span[0]) if span[0] == span[1] else "%d-%d" % span


def field_span(field, message):
    return cut(field.span, message.span) or field.tagged


def struct_code(message, name, fields):
    out = ["/// `%s`, versions %s." % (name, span_text(message.span)), "#[derive(Clone, Debug, PartialEq)]",
           "pub struct %s {" % name]
    for f in fields:
        out += ["    /// Versions %s." % span_text(field_span(f, message)), "    pub %s: %s," % (f.rust, f.rust_type())]
    out += ["    /// Tagged fields that these versions do not know.", "    pub unknown_tagged_fields: BTreeMap<i32, Bytes>,",
            "}", "", "impl Default for %s {" % name, "    fn default() -> Self {", "        %s {" % name]
    out += ["            %s: %s," % (f.rust, f.default()) for f in fields]
    out += ["            unknown_tagged_fields: BTreeMap::new(),", "        }", "    }", "}", "", "impl %s {" % name]
    for f in fields:
        out += ["    /// Sets `%s`." % f.rust, "    pub fn with_%s(mut self, value: %s) -> Self {" % (f.rust.lstrip("_"), f.rust_type()),
                "        self.%s = value;" % f.rust, "        self", "    }"]
    out += ["}", ""]
    out += encode_code(message, name, fields) + size_code(message, name, fields) + ["}", ""]
    out += decode_code(message, name, fields)
    out += ["impl Message for %s {" % name,
            "    const VERSIONS: VersionRange = VersionRange { min: %d, max: %d };" % message.span,
            "    const DEPRECATED_VERSIONS: Option<VersionRange> = None;", "}", ""]
    return out


def guard(message, name):
    return ["        wire::check_version(\"%s\", version, %d, %d)?;" % (name, *message.span)]


def needs_flexible(fields):
    return any(f.array or f.nullable or f.kind not in SCALARS for f in fields)


def encode_code(message, name, fields):
    flexible = condition(message.flex, message.span)
    out = ["impl Encodable for %s {" % name, "    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {"]
    out += guard(message, name) + ["        let flexible = %s;" % flexible]
    for f in [f for f in fields if f.tag is None]:
        body = []
        if f.array and f.nullable:
            f.put_array_nullable(body)
        else:
            f.put(body)
        present = condition(f.span, message.span)
        if present == "true":
            out += ["        " + line for line in body]
        else:
            out += ["        if %s {" % present] + ["            " + line for line in body]
            if not f.ignorable:
                out += ["        } else if !(%s) {" % f.is_default(),
                        "            return Err(wire::unsupported(\"%s\", version));" % f.name]
            out += ["        }"]
    tagged = sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
    if message.flex:
        out += ["        if flexible {"]
        if tagged:
            out += ["            let known = %s;" % " + ".join(
                "usize::from(%s)" % present_tag(f, message) for f in tagged),
                "            wire::put_unsigned_varint(buf, (known + self.unknown_tagged_fields.len()) as u32);"]
            for f in tagged:
                body, size = [], []
                (f.put_array_nullable if f.array and f.nullable else f.put)(body)
                f.size(size)
                out += ["            if %s {" % present_tag(f, message), "                wire::put_unsigned_varint(buf, %d);" % f.tag,
                        "                let mut size = 0;"] + ["                " + line for line in size]
                out += ["                wire::put_unsigned_varint(buf, size as u32);"] + ["                " + line for line in body] + ["            }"]
            out += ["            wire::put_tagged_fields(buf, &self.unknown_tagged_fields);"]
        else:
            out += ["            wire::put_unsigned_varint(buf, self.unknown_tagged_fields.len() as u32);",
                    "            wire::put_tagged_fields(buf, &self.unknown_tagged_fields);"]
        out += ["        }"]
    if not needs_flexible(fields) and not message.flex:
        out = [line for line in out if "let flexible" not in line]
    return out + ["        Ok(())", "    }", ""]


def present_tag(f, message):
    inside = condition(f.tagged, message.span)
    test = "!(%s)" % f.is_default()
    flexible = condition(message.flex, message.span)
    return test if inside in ("true", flexible) else "(%s && %s)" % (inside, test)


def size_code(message, name, fields):
    out = ["    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {"] + guard(message, name)
    out += ["        let flexible = %s;" % condition(message.flex, message.span), "        let mut size = 0;"]
    for f in [f for f in fields if f.tag is None]:
        body = []
        f.size(body)
        present = condition(f.span, message.span)
        out += ["        " + line for line in body] if present == "true" else \
            ["        if %s {" % present] + ["            " + line for line in body] + ["        }"]
    tagged = sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
    if message.flex:
        out += ["        if flexible {"]
        if tagged:
            out += ["            let known = %s;" % " + ".join("usize::from(%s)" % present_tag(f, message) for f in tagged),
                    "            size += wire::unsigned_varint_size((known + self.unknown_tagged_fields.len()) as u32);"]
            for f in tagged:
                body = []
                f.size(body)
                out += ["            if %s {" % present_tag(f, message), "                let before = size;"]
                out += ["                " + line for line in body]
                out += ["                size += wire::unsigned_varint_size(%d) + wire::unsigned_varint_size((size - before) as u32);" % f.tag,
                        "            }"]
        else:
            out += ["            size += wire::unsigned_varint_size(self.unknown_tagged_fields.len() as u32);"]
        out += ["            size += wire::tagged_fields_size(&self.unknown_tagged_fields);", "        }"]
    if not needs_flexible(fields) and not message.flex:
        out = [line for line in out if "let flexible" not in line]
    return out + ["        Ok(size)", "    }"]


def decode_code(message, name, fields):
    out = ["impl Decodable for %s {" % name, "    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {"]
    out += guard(message, name) + ["        let flexible = %s;" % condition(message.flex, message.span)]
    out += ["        let mut decoded = %s::default();" % name]
    for f in [f for f in fields if f.tag is None]:
        present = condition(f.span, message.span)
        line = "decoded.%s = %s;" % (f.rust, f.get())
        out += ["        " + line] if present == "true" else ["        if %s {" % present, "            " + line, "        }"]
    tagged = sorted((f for f in fields if f.tag is not None), key=lambda f: f.tag)
    if message.flex:
        out += ["        if flexible {"]
        if tagged:
            out += ["            for _ in 0..wire::get_unsigned_varint(buf, \"tagged fields\")? {",
                    "                let (tag, size) = wire::get_tag(buf)?;", "                match tag {"]
            for f in tagged:
                out += ["                    %d => decoded.%s = %s," % (f.tag, f.rust, f.get())]
            out += ["                    _ => {", "                        let value = wire::get_raw(buf, size, \"tagged fields\")?;",
                    "                        decoded.unknown_tagged_fields.insert(tag, value);", "                    }", "                }", "            }"]
        else:
            out += ["            decoded.unknown_tagged_fields = wire::get_tagged_fields(buf)?;"]
        out += ["        }"]
    if not needs_flexible(fields) and not message.flex:
        out = [line for line in out if "let flexible" not in line]
    return out + ["        Ok(decoded)", "    }", "}", ""]


def module(raw, header):
    message = Message(raw)
    body = []
    for name, fields in message.structs:
        body += struct_code(message, name, fields)
    if raw["type"] in ("request", "response"):
        request = raw["type"] == "request"
        low, high = ("1", "2") if request else ("0", "1")
        test = condition(message.flex, message.span)
        body += ["impl HeaderVersion for %s {" % message.name, "    fn header_version(version: i16) -> i16 {",
                 ("        if %s { %s } else { %s }" % (test, high, low)) if test not in ("true", "false")
                 else "        let _ = version;\n        %s" % (high if test == "true" else low), "    }", "}", ""]
        if request:
            body += ["impl Request for %s {" % message.name, "    const KEY: i16 = %d;" % raw["apiKey"],
                     "    type Response = super::%s;" % message.name.replace("Request", "Response"), "}", ""]
    text = "\n".join(body)
    entities = sorted({e for e in ENTITIES.values() if re.search(r'(?<!")\b%s\b(?!")' % e, text)})
    protocol = ["Decodable", "Encodable", "Message", "VersionRange"]
    protocol += [t for t in ("HeaderVersion", "Request", "StrBytes") if re.search(r"\b%s\b" % t, text)]
    uses = ["use std::collections::BTreeMap;", "", "use bytes::Bytes;",
            "use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};",
            "use kafka_protocol::protocol::{%s};" % ", ".join(sorted(protocol))]
    if "Uuid" in text:
        uses.append("use uuid::Uuid;")
    uses += ["", "use crate::wire;"]
    if entities:
        uses.append("use crate::messages::{%s};" % ", ".join(entities))
    head = ["//! %s. Generated by protocol/schema/generate.py from Apache Kafka's definition; do not edit." % header,
            "#![allow(clippy::all, unused_variables)]", ""]
    return "\n".join(head + uses + [""]) + "\n" + text


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    subprocess.run(["rustfmt", "--edition", "2024", "--config-path", os.path.join(HERE, "..", "..", "rustfmt.toml"), path], check=True)


def main():
    libs = sys.argv[1]
    jars = {jar: read_jar(libs, jar) for jar in
            ("kafka-clients", "kafka-group-coordinator", "kafka-transaction-coordinator", "kafka-share-coordinator",
             "kafka-metadata", "kafka-storage")}
    write(os.path.join(SRC, "record_schema", "table.rs"), record_table(jars))
    write(os.path.join(SRC, "schema", "table.rs"), table(jars["kafka-clients"]))
    for name in OWN_MESSAGES:
        write(os.path.join(SRC, "messages", snake(name) + ".rs"), module(jars["kafka-clients"][name], name))
    for jar, name in RECORD_SCHEMAS:
        write(os.path.join(SRC, "record_schema", snake(name) + ".rs"), module(jars[jar][name], name))


if __name__ == "__main__":
    main()
