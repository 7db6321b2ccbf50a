/* A file system without locks: as some have none at all, and others only say that they have. */
#include <errno.h>
#include <stdlib.h>

int flock(int file, int operation) {
    (void)file;
    (void)operation;
    if (getenv("LOCKS_ARE_REFUSED")) {
        errno = ENOLCK;
        return -1;
    }
    return 0;
}
