// What Swift's Glibc module does not show of Linux: epoll, eventfd, accept4, splice and a few more.
//
// Functions that glibc declares only under _GNU_SOURCE are declared here by hand: defining that macro in a module
// header changes the shape of types that Glibc already exported, and the two then no longer match.
#ifndef HDPROXY_LINUX_H
#define HDPROXY_LINUX_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pipe2(int[2], int);
extern ssize_t splice(int, long long *, int, long long *, size_t, unsigned);
extern int sched_setaffinity(pid_t, size_t, const void *);
extern int sched_getaffinity(pid_t, size_t, void *);
extern int pthread_setname_np(unsigned long, const char *);
extern int unshare(int);
extern int malloc_trim(size_t);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
extern int mallopt(int, int);

enum {
    HD_SPLICE_F_MOVE = 1,
    HD_SPLICE_F_NONBLOCK = 2,
    HD_F_SETPIPE_SZ = 1031,
    HD_F_GETPIPE_SZ = 1032,
    HD_SIOCOUTQ = 0x5411,
    HD_CLONE_NEWNET = 0x40000000,
    HD_CLONE_NEWUSER = 0x10000000,
    HD_CLONE_NEWNS = 0x00020000,
};

// fcntl and prctl are variadic, which Swift cannot call.
static inline int hd_fcntl_int(int fd, int command, int value) { return fcntl(fd, command, value); }
static inline int hd_set_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
static inline int hd_die_with_parent(int signal) { return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); }
static inline int hd_gettid(void) { return (int)syscall(SYS_gettid); }

// Descriptors that travel over a Unix socket (unix(7), SCM_RIGHTS): the room for them is laid out by macros.
enum { HD_DESCRIPTORS_MAX = 64 };

// Sends bytes, at least one, and `count` descriptors with them; as sendmsg.
static inline ssize_t hd_send_descriptors(int fd, const void *bytes, size_t size, const int *descriptors, size_t count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(HD_DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec piece = {(void *)bytes, size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (count > HD_DESCRIPTORS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        __builtin_memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

// Receives bytes, and descriptors into `descriptors`, which has room for HD_DESCRIPTORS_MAX; as recvmsg. Where some did
// not fit they are all closed and it fails with E2BIG.
static inline ssize_t hd_receive_descriptors(int fd, void *bytes, size_t size, int *descriptors, size_t *count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(HD_DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec piece = {bytes, size};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    *count = 0;
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (n < 0) return n;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t found = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < found && *count < HD_DESCRIPTORS_MAX; i++)
            __builtin_memcpy(&descriptors[(*count)++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
    }
    if (message.msg_flags & MSG_CTRUNC) {
        for (size_t i = 0; i < *count; i++) close(descriptors[i]);
        *count = 0;
        errno = E2BIG;
        return -1;
    }
    return n;
}

// The user of the process at the other end of a Unix socket, as it was when that connected or began to listen; 0 where
// that is known.
static inline int hd_peer_user(int fd, unsigned *user) {
    struct {
        int process;
        unsigned user, group;
    } who;
    socklen_t size = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return -1;
    *user = who.user;
    return 0;
}

// Macros that Swift cannot see.
static inline int hd_exited(int status) { return WIFEXITED(status); }
static inline int hd_exit_status(int status) { return WEXITSTATUS(status); }
static inline int hd_signaled(int status) { return WIFSIGNALED(status); }
static inline int hd_term_signal(int status) { return WTERMSIG(status); }

#endif
