//! Tasks of the project itself: `cargo xtask schema`, `cargo xtask bench NAME`.

fn main() {}
