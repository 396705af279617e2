//! Operators: what the nodes of a topology do, typed by what they take and hand on.
//! Recorded by `dsl`; made into processors when a task is linked. Never knows names, numbers or topics.

// Functions of one record.
pub mod stateless;
// Where records enter and leave.
pub mod edge;
// Aggregations of a stream by key.
pub mod aggregate;
// Aggregations by windows,
mod window_aggregate;
// by sliding windows,
mod sliding_aggregate;
// by sessions,
mod session_aggregate;
// and when those hand results on.
mod emit;
// Aggregations of a grouped table.
pub mod table_aggregate;
// Joins: what the user gave.
pub mod join;
// Two streams within a time.
pub mod stream_stream_join;
// A stream with a table or a global table.
pub mod stream_table_join;
// Tables: source, filter, map, group.
pub mod table;
// An object of the user that makes the values of a table.
pub mod transform;
// A table that an operator keeps.
mod keep;
// What a table has for a key.
pub mod getter;
// Joins of tables by the same key.
pub mod table_join;
// Joins of tables by a key inside the rows.
pub mod foreign_key;
// Changes that are held back.
pub mod suppress;
// The processor API.
pub mod custom;
