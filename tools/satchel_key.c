/* satchel_key.c - the key of an encrypted file, from a file: never from the arguments, which other users can see. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/satchel_cli.h"

static const char *read_key(int fd, unsigned char *key, size_t *n) {
    struct stat st;
    unsigned char more;
    ssize_t got = 1;
    if (fstat(fd, &st)) return strerror(errno);
    if (S_ISREG(st.st_mode) && st.st_mode & (S_IRWXG | S_IRWXO)) return "others than its owner can read it; chmod 600 mends that";
    for (*n = 0; got > 0 && *n < LIMIT_FILE_KEY_BYTES; *n += (size_t)got) {
        got = read(fd, key + *n, LIMIT_FILE_KEY_BYTES - *n);
        if (got < 0) return strerror(errno);
    }
    if (*n == 0) return "it is empty";
    return got > 0 && read(fd, &more, 1) > 0 ? "it is longer than a key may be" : NULL;
}

bool cli_read_key(const char *path, unsigned char key[LIMIT_FILE_KEY_BYTES], size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *wrong = fd < 0 ? strerror(errno) : read_key(fd, key, n);
    if (fd >= 0) close(fd);
    if (!wrong) return true;
    explicit_bzero(key, LIMIT_FILE_KEY_BYTES);
    fprintf(stderr, "satchel: cannot take the key in %s: %s\n", path, wrong);
    return false;
}
