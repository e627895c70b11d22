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
    HD_CLONE_NEWNET = 0x40000000,
    HD_CLONE_NEWUSER = 0x10000000,
    HD_CLONE_NEWNS = 0x00020000,
};

// fcntl and prctl are variadic, which Swift cannot call.
static inline int hd_fcntl_int(int fd, int command, int value) { return fcntl(fd, command, value); }
static inline int hd_set_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }
static inline int hd_die_with_parent(int signal) { return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); }
static inline int hd_gettid(void) { return (int)syscall(SYS_gettid); }

// Macros that Swift cannot see.
static inline int hd_exited(int status) { return WIFEXITED(status); }
static inline int hd_exit_status(int status) { return WEXITSTATUS(status); }
static inline int hd_signaled(int status) { return WIFSIGNALED(status); }
static inline int hd_term_signal(int status) { return WTERMSIG(status); }

#endif
