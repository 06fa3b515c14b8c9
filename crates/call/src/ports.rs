//! The pool of media port pairs: RTP even, RTCP the next odd one. A pair comes back when its end's sockets are closed.
