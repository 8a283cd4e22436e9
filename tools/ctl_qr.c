/* ctl_qr.c - an enrolment code as a QR code (ISO/IEC 18004), for a camera: on the terminal and as a drawing. libqrencode makes the code. */
#include <errno.h>
#include <fcntl.h>
#include <qrencode.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/ctl.h"

/* Light modules that the standard asks for on each side. */
#define QUIET 4
/* Black on white whatever the terminal's own colours are: of the 256 colours these two are fixed, unlike the first 16. */
#define INK "\033[38;5;16;48;5;231m"
#define NO_INK "\033[0m"
#define MODULE_PX 8

static bool is_dark(const QRcode *q, int x, int y) {
    return x >= 0 && y >= 0 && x < q->width && y < q->width && q->data[y * q->width + x] & 1;
}

/* A character is as high as two modules: the upper and the lower half. */
static void draw_line(const QRcode *q, int y, FILE *to) {
    static const char *const halves[] = {" ", "\u2580", "\u2584", "\u2588"};
    fputs(INK, to);
    for (int x = -QUIET; x < q->width + QUIET; x++) fputs(halves[is_dark(q, x, y) | is_dark(q, x, y + 1) << 1], to);
    fputs(NO_INK "\n", to);
}

static void draw_svg(const QRcode *q, FILE *to) {
    int side = q->width + 2 * QUIET;
    fprintf(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"%d %d %d %d\" shape-rendering=\"crispEdges\">"
        "<path fill=\"#fff\" d=\"M%d %dh%dv%dh-%dz\"/><path d=\"",
        side * MODULE_PX, side * MODULE_PX, -QUIET, -QUIET, side, side, -QUIET, -QUIET, side, side, side);
    for (int y = 0; y < q->width; y++)
        for (int x = 0; x < q->width; x++)
            if (is_dark(q, x, y)) fprintf(to, "M%d %dh1v1h-1z", x, y);
    fputs("\"/></svg>\n", to);
}

/* The code is a secret: a new file, of the owner's alone. */
static int write_svg(const QRcode *q, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (to) draw_svg(q, to);
    int failed = !to || ferror(to);
    if ((to && fclose(to)) || failed) {
        fprintf(stderr, "satchelctl: %s: cannot be written: %s\n", path, strerror(errno));
        if (fd >= 0) unlink(path);
        return CTL_FAILED;
    }
    return CTL_DONE;
}

int ctl_qr(const char *code, bool draw, const char *svg) {
    if (!draw && !svg) return CTL_DONE;
    QRcode *q = QRcode_encodeString8bit(code, 0, QR_ECLEVEL_M);
    if (!q) {
        perror("satchelctl: cannot make a QR code");
        return CTL_FAILED;
    }
    for (int y = -QUIET; draw && y < q->width + QUIET; y += 2) draw_line(q, y, stderr);
    int rc = svg ? write_svg(q, svg) : CTL_DONE;
    QRcode_free(q);
    return rc;
}
