//! Whole runs with the double of an engine, in one program: what each file would compile alone is most of
//! it the same.

mod double;
mod forge;

mod attributed;
mod begin;
mod demand;
mod further;
mod leaks;
mod lent;
mod lies;
mod nodes;
mod on_device;
mod opened;
mod own;
mod poisoned;
mod revoked;
mod room;
mod rotated;
mod run;
mod scaffold;
mod site;
mod stops;
mod tunings;
