//! Records one by one, as a stream.
//!
//! For applications that are built of streams; each record is owned, its key and value still lie in the buffer that
//! came over the wire.

use std::time::Duration;

use futures_util::stream::{self, Stream};

use super::{Consumer, OwnedRecord};
use crate::error::ClientError;

/// How long one poll of a stream waits; the stream itself goes on.
const POLL: Duration = Duration::from_secs(1);

impl Consumer {
    /// All records from now on. It ends with the first error; another call goes on behind the last record taken from a
    /// poll, so that commits made while the stream runs cover what the last poll brought.
    ///
    /// ```no_run
    /// # async fn example(consumer: &mut client::consumer::Consumer) -> Result<(), client::error::ClientError> {
    /// use futures_util::{StreamExt, TryStreamExt};
    ///
    /// let mut records = std::pin::pin!(consumer.stream().take(10));
    /// while let Some(record) = records.try_next().await? {
    ///     println!("{}: {:?}", record.offset, record.value);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&mut self) -> impl Stream<Item = Result<OwnedRecord, ClientError>> + '_ {
        stream::try_unfold((self, Vec::new().into_iter()), |(consumer, mut records)| async move {
            loop {
                if let Some(record) = records.next() {
                    return Ok(Some((record, (consumer, records))));
                }
                let polled = consumer.poll(POLL).await?;
                records = polled.iter().map(|record| record.to_owned()).collect::<Vec<OwnedRecord>>().into_iter();
            }
        })
    }
}
