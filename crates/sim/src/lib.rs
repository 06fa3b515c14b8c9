//! The real core between scripted phones over a seeded network, on virtual time: a failure is one number that anybody
//! can replay.
