//! Records of `__consumer_offsets`, in the versions that Apache 4.3.1 writes.
