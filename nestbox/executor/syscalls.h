/* What the C library of the oldest supported distribution does not declare. */
#ifndef NESTBOX_SYSCALLS_H
#define NESTBOX_SYSCALLS_H

#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef SYS_mount_setattr
#error "the kernel headers are older than Linux 5.12"
#endif

#ifndef SYS_faccessat2
#define SYS_faccessat2 439 /* Linux 5.8 */
#endif
#ifndef UMOUNT_NOFOLLOW
#define UMOUNT_NOFOLLOW 8
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000 /* Linux 5.8 */
#endif

int umount2(const char *target, int flags);

#endif
