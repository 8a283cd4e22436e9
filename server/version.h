/* version.h - the version of the Satchel library, as a device tells it of itself: an older one than min-version (satcheld.conf(5)) is refused.
 *
 * A hello's `software` names products as a User-Agent does, "acme-crm/2.1 satchel/0.1.0"; the library's own is the last. It is the device's word and keeps out nobody
 * who means to lie, nor another implementation, which names none. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#include <stddef.h>

#define VERSION_TEXT_BYTES 16

/* X.Y.Z, each below 1024, as a number that orders as versions do; 0: it is none, or 0.0.0. */
unsigned version_parse(const char *text, size_t n);
/* That of the library in a hello's `software` (not terminated), whatever follows its three numbers; 0: it names none. */
unsigned version_of_software(const char *software, size_t n);
void version_text(unsigned version, char out[VERSION_TEXT_BYTES]);

#endif
