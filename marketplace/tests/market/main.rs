//! The market from outside: what goes in, and everything that comes out.

mod flow;
mod properties;
mod results;
mod scene;
