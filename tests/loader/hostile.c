/* What passes every check of a file, and misbehaves as soon as it is loaded: one BEHAVIOUR a build.
 * manifest.h is generated: the manifest of a sound plugin, as a list of bytes. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum behaviour {
    ABORT, SEGFAULT, EXIT_0, EXIT_3, QUICK_EXIT_0, HANG, CLOSE_ALL_AND_HANG, FORK_AND_EXIT, PRETEND, INSPECT, MISSING_SYMBOL, HARMLESS,
    ABORT_AT_END, HANG_AT_END
};

__attribute__((section(".audit_manifest"), used)) static const unsigned char manifest[] = {
#include "manifest.h"
};

void nobody_defines_this(void);

static void hang(void) {
    for (;;) pause();
}

static int leads_to_nothing(const char *link) {
    char target[64] = {0};
    return readlink(link, target, sizeof target - 1) > 0 && strcmp(target, "/dev/null") == 0;
}

__attribute__((constructor)) static void misbehave(void) {
    struct rlimit core;
    volatile int *volatile nowhere = NULL;
    switch (BEHAVIOUR) {
    case ABORT: abort();
    case SEGFAULT: *nowhere = 1; break;
    case EXIT_0: exit(0);
    case EXIT_3: exit(3);
    case QUICK_EXIT_0: _exit(0);
    case HANG: hang(); break;
    case CLOSE_ALL_AND_HANG:
        for (int fd = 0; fd < 1024; fd++) close(fd);
        hang();
        break;
    case FORK_AND_EXIT:
        if (fork() == 0) hang();
        exit(4);
    case PRETEND:
        for (int fd = 0; fd < 64; fd++) dprintf(fd, "ok ok ok\n");
        exit(0);
    case INSPECT:
        if (!leads_to_nothing("/proc/self/fd/0") || !leads_to_nothing("/proc/self/fd/1")) exit(5);
        if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0) exit(6);
        if (getpgrp() != getpid()) exit(7);
        break;
#ifdef WITH_MISSING_SYMBOL
    case MISSING_SYMBOL: nobody_defines_this();
#endif
    default: break;
    }
}

__attribute__((destructor)) static void misbehave_at_end(void) {
    if (BEHAVIOUR == ABORT_AT_END) abort();
    if (BEHAVIOUR == HANG_AT_END) hang();
}
