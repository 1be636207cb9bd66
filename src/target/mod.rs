//! kgdb's stub as a thing with limits, registers, threads and ways in.
//!
//! `rsp` knows packets; this layer knows what they mean on a kgdb and what a
//! silent, echoing or chattering line means. It is pure as `rsp` is: values in,
//! values out, time is a parameter.

