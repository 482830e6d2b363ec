/* A disk that fails in the middle: loaded before a program (LD_PRELOAD), it lets one of the calls with which the program
 * changes files below a folder fail. What makes system calls without the C library is not seen.
 *
 * DISK_FAULT_ROOT   the folder
 * DISK_FAULT_AT     which call fails, from 1; 0: none
 * DISK_FAULT_WHICH  of which calls: "all", or "moves" (fsync, fdatasync, rename, link)
 * DISK_FAULT_WAY    "refused": EIO, nothing is done; "full": ENOSPC, of a write the first half is done;
 *                   "killed": the process dies before the call; "after": it dies after it
 * DISK_FAULT_COUNT  a file that gets the numbers of all calls and of the moves at the end
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum way { NONE, REFUSED, FULL, KILLED, AFTER };

static const char *root;
static long at;
static int only_moves;
static enum way way;
static atomic_long all_calls, move_calls;

__attribute__((constructor)) static void begin(void) {
    const char *text;
    root = getenv("DISK_FAULT_ROOT");
    at = (text = getenv("DISK_FAULT_AT")) ? atol(text) : 0;
    only_moves = (text = getenv("DISK_FAULT_WHICH")) && !strcmp(text, "moves");
    text = getenv("DISK_FAULT_WAY");
    if (!text) return;
    way = !strcmp(text, "full") ? FULL : !strcmp(text, "killed") ? KILLED : !strcmp(text, "after") ? AFTER : REFUSED;
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("DISK_FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld %ld\n", atomic_load(&all_calls), atomic_load(&move_calls));
    fclose(file);
}

static int is_below(const char *path) {
    size_t length = root ? strlen(root) : 0;
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int is_open_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* What happens to this call. */
static enum way counted(int is_move) {
    long nth = atomic_fetch_add(&all_calls, 1) + 1;
    if (is_move) {
        long move = atomic_fetch_add(&move_calls, 1) + 1;
        if (only_moves) return move == at ? way : NONE;
    }
    return !only_moves && nth == at ? way : NONE;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

/* `part` is done where the disk is full, `whole` where it is not. */
#define CALL(type, is_watched, is_move, part, whole)                                                                   \
    do {                                                                                                               \
        enum way now = (is_watched) ? counted(is_move) : NONE;                                                         \
        if (now == KILLED) die();                                                                                      \
        if (now == REFUSED) return errno = EIO, (type)-1;                                                              \
        if (now == FULL) {                                                                                             \
            part;                                                                                                      \
            return errno = ENOSPC, (type)-1;                                                                           \
        }                                                                                                              \
        type done = (whole);                                                                                           \
        if (now == AFTER) die();                                                                                       \
        return done;                                                                                                   \
    } while (0)

#define REAL(name, type, ...)                                                                                          \
    static type (*real)(__VA_ARGS__);                                                                                  \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *from, size_t bytes) {
    REAL(write, ssize_t, int, const void *, size_t);
    CALL(ssize_t, is_open_below(fd), 0, if (real(fd, from, bytes / 2) < 0) {}, real(fd, from, bytes));
}

ssize_t writev(int fd, const struct iovec *from, int parts) {
    REAL(writev, ssize_t, int, const struct iovec *, int);
    CALL(ssize_t, is_open_below(fd), 0, if (real(fd, from, parts / 2) < 0) {}, real(fd, from, parts));
}

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t place) {
    REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t);
    CALL(ssize_t, is_open_below(fd), 0, if (real(fd, from, bytes / 2, place) < 0) {}, real(fd, from, bytes, place));
}

int fsync(int fd) {
    REAL(fsync, int, int);
    CALL(int, is_open_below(fd), 1, , real(fd));
}

int fdatasync(int fd) {
    REAL(fdatasync, int, int);
    CALL(int, is_open_below(fd), 1, , real(fd));
}

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    CALL(int, is_below(to), 1, , real(from, to));
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(linkat, int, int, const char *, int, const char *, int);
    CALL(int, is_below(to), 1, , real(from_folder, from, to_folder, to, flags));
}

int link(const char *from, const char *to) {
    REAL(link, int, const char *, const char *);
    CALL(int, is_below(to), 1, , real(from, to));
}
