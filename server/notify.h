/* notify.h - tells systemd how the server stands, where it asks: sd_notify(3)'s protocol, a datagram to the socket that $NOTIFY_SOCKET names. By hand,
 * because it is one datagram, and libsystemd brings a compressor and a cryptographic library into the process. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* "READY=1", "RELOADING=1", "STOPPING=1"; lines of sd_notify(3). Does nothing where nobody asked; a failure is nobody's concern. */
void notify_send(const char *state);

#endif
