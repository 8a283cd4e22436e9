/* The marker of a wipe, where the disk fails at it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/wipe.h"

static unsigned syncs_until_one_fails;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd) {
    if (syncs_until_one_fails && --syncs_until_one_fails == 0) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

/* The next opening would erase what was written since. */
static void order_that_fails_is_none(void **state) {
    (void)state;
    char dir[] = "/tmp/satchel-wipe-XXXXXX", path[64], marker[80];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.db", dir);
    snprintf(marker, sizeof marker, "%s-wipe", path);
    for (unsigned n = 1; n <= 2; n++) { /* of the marker's file, of its directory */
        syncs_until_one_fails = n;
        assert_int_equal(wipe_order(path, "host", 1), SATCHEL_E_IO);
        assert_int_equal(syncs_until_one_fails, 0);
        assert_false(wipe_is_ordered(path));
    }
    assert_int_equal(wipe_order(path, "host", 1), SATCHEL_OK);
    assert_true(wipe_is_ordered(path));
    assert_int_equal(unlink(marker), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_that_fails_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
