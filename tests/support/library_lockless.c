/* A file system without locks below the directory LOCKLESS: as some network file systems, it says
   that a file is locked and keeps nobody out; or, where REFUSED is set, that it has no locks. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_lockless(int file) {
    char link[64], path[4096];
    const char *directory = getenv("LOCKLESS");
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!directory || length < 0) {
        return 0;
    }
    path[length] = 0;
    return !strncmp(path, directory, strlen(directory));
}

int flock(int file, int operation) {
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
    if (!is_lockless(file)) {
        return real(file, operation);
    }
    if (getenv("REFUSED")) {
        errno = ENOLCK;
        return -1;
    }
    return 0;
}
