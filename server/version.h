/* version.h - what a device tells of its software: the version of the Satchel library, of which one older than min-version (satcheld.conf(5)) is refused, and the platform.
 *
 * A hello's `software` names products as a User-Agent does, "acme-crm/2.1 satchel/0.1.0 (Linux 6.1; x86_64)"; the library's own is the last, and the comment at the end is
 * what they run on. It is the device's word and keeps out nobody who means to lie, nor another implementation, which names none. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#include <stddef.h>

#define VERSION_TEXT_BYTES 16

/* X.Y.Z, each below 1024, as a number that orders as versions do; 0: it is none, or 0.0.0. */
unsigned version_parse(const char *text, size_t n);
/* That of the library in a hello's `software` (not terminated), whatever follows its three numbers; 0: it names none. */
unsigned version_of_software(const char *software, size_t n);
/* Divides it: the length of the products, and behind them the platform without its parentheses (*nplatform 0: it tells none). */
size_t version_products(const char *software, size_t n, const char **platform, size_t *nplatform);
void version_text(unsigned version, char out[VERSION_TEXT_BYTES]);

#endif
