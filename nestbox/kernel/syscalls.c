/*
 * The system calls of syscalls.h. A libc that lacks a wrapper, or has one that
 * does more than the call, makes no difference: all go through syscall(2).
 */
#include "compat.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "syscalls.h"

enum {
	CAPABILITY_BITS = 64, /* kernel_cap_t */
};

static int64_t result_of(long result)
{
	return result < 0 ? -(int64_t)errno : result;
}

int64_t nb_capget(int32_t pid, uint64_t *effective, uint64_t *permitted, uint64_t *inheritable)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, pid };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

int64_t nb_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	const struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		  (uint32_t)(inheritable >> 32) },
	};

	return result_of(syscall(SYS_capset, &header, data));
}

int64_t nb_prctl(int32_t option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return result_of(syscall(SYS_prctl, option, a, b, c, d));
}

/* The first number that the kernel does not know ends both sets; any other refusal is an error. */
static int64_t read_bit_sets(struct nb_rights *rights)
{
	rights->last = -1;
	rights->bounding = 0;
	rights->ambient = 0;
	for (int number = 0; number < CAPABILITY_BITS; number++) {
		const uint64_t bit = (uint64_t)1 << number;
		long is_set = syscall(SYS_prctl, PR_CAPBSET_READ, number, 0, 0, 0);

		if (is_set < 0 && errno == EINVAL && number > 0)
			break;
		if (is_set < 0)
			return -errno;
		if (is_set > 0)
			rights->bounding |= bit;
		is_set = syscall(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0);
		if (is_set < 0)
			return -errno;
		if (is_set > 0)
			rights->ambient |= bit;
		rights->last = number;
	}
	return 0;
}

int64_t nb_thread_rights(struct nb_rights *rights)
{
	int64_t error = nb_capget(0, &rights->effective, &rights->permitted, &rights->inheritable);
	long value;

	if (error == 0)
		error = read_bit_sets(rights);
	if (error < 0)
		return error;
	value = syscall(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (value < 0)
		return -errno;
	rights->securebits = (uint64_t)value;
	value = syscall(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	if (value < 0)
		return -errno;
	rights->no_new_privs = (int32_t)value;
	return 0;
}

int64_t nb_openat2(int32_t dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	const struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };

	return result_of(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}

int64_t nb_faccessat2(int32_t dirfd, const char *path, int32_t mode, int32_t flags)
{
	long result = syscall(SYS_faccessat2, dirfd, path, mode, flags);

	/* Where a filter hides it: the older call asks with the real ids, which ours are. */
	if (result < 0 && (errno == EPERM || errno == ENOSYS) && (flags & ~AT_EACCESS) == 0)
		result = syscall(SYS_faccessat, dirfd, path, mode);
	return result_of(result);
}

int64_t nb_fstatfs_type(int32_t fd)
{
	struct statfs facts;

	if (fstatfs(fd, &facts) < 0)
		return -errno;
	return (int64_t)facts.f_type & 0xffffffff;
}

/* Where a filter hides statx(2), whose own errors never are these. */
static int64_t stat_older(const char *path, struct nb_cached_stat *facts)
{
	struct stat info;

	if (lstat(path, &info) < 0)
		return -errno;
	facts->inode = info.st_ino;
	facts->mode = info.st_mode;
	facts->block_size = (uint32_t)info.st_blksize;
	return 0;
}

int64_t nb_stat_cached(const char *path, struct nb_cached_stat *facts)
{
	struct statx info;

	if (syscall(SYS_statx, AT_FDCWD, path,
		    AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_TYPE | STATX_MODE | STATX_INO, &info) < 0)
		return errno == EPERM || errno == ENOSYS ? stat_older(path, facts) : -errno;
	facts->inode = info.stx_ino;
	facts->mode = info.stx_mode;
	facts->block_size = info.stx_blksize;
	return 0;
}

int64_t nb_open_tree(int32_t dirfd, const char *path, uint32_t flags)
{
	return result_of(syscall(SYS_open_tree, dirfd, path, flags));
}

int64_t nb_move_mount(int32_t from, const char *from_path, int32_t to, const char *to_path,
		      uint32_t flags)
{
	return result_of(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}

int64_t nb_fsopen(const char *type, uint32_t flags)
{
	return result_of(syscall(SYS_fsopen, type, flags));
}

int64_t nb_fsconfig(int32_t fd, uint32_t command, const char *key, const char *value, int32_t aux)
{
	return result_of(syscall(SYS_fsconfig, fd, command, key, value, aux));
}

int64_t nb_fsmount(int32_t fd, uint32_t flags, uint32_t attributes)
{
	return result_of(syscall(SYS_fsmount, fd, flags, attributes));
}

int64_t nb_mount_setattr(int32_t dirfd, const char *path, uint32_t flags, uint64_t set,
			 uint64_t clear, uint64_t propagation, uint64_t userns)
{
	const struct mount_attr attributes = {
		.attr_set = set,
		.attr_clr = clear,
		.propagation = propagation,
		.userns_fd = userns,
	};

	return result_of(
		syscall(SYS_mount_setattr, dirfd, path, flags, &attributes, sizeof(attributes)));
}

int64_t nb_mount(const char *source, const char *target, const char *type, uint64_t flags,
		 const char *data)
{
	return result_of(syscall(SYS_mount, source, target, type, flags, data));
}

int64_t nb_umount2(const char *target, int32_t flags)
{
	return result_of(syscall(SYS_umount2, target, flags));
}

int64_t nb_pivot_root(const char *new_root, const char *put_old)
{
	return result_of(syscall(SYS_pivot_root, new_root, put_old));
}

int64_t nb_setns(int32_t fd, int32_t types)
{
	return result_of(syscall(SYS_setns, fd, types));
}

int64_t nb_unshare(uint64_t flags)
{
	return result_of(syscall(SYS_unshare, flags));
}

int64_t nb_ns_get_parent(int32_t fd)
{
	return result_of(ioctl(fd, NS_GET_PARENT));
}

int64_t nb_ns_get_userns(int32_t fd)
{
	return result_of(ioctl(fd, NS_GET_USERNS));
}

int64_t nb_ns_get_owner_uid(int32_t fd)
{
	uid_t uid = 0;

	if (ioctl(fd, NS_GET_OWNER_UID, &uid) < 0)
		return -errno;
	return uid;
}

int64_t nb_ns_get_nstype(int32_t fd)
{
	return result_of(ioctl(fd, NS_GET_NSTYPE));
}

int64_t nb_pidfd_open(int32_t pid, uint32_t flags)
{
	return result_of(syscall(SYS_pidfd_open, pid, flags));
}

int64_t nb_pidfd_send_signal(int32_t pidfd, int32_t signal)
{
	return result_of(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int64_t nb_close_range(uint32_t first, uint32_t last, uint32_t flags)
{
	return result_of(syscall(SYS_close_range, first, last, flags));
}

int64_t nb_memfd_create(const char *name, uint32_t flags)
{
	return result_of(syscall(SYS_memfd_create, name, flags));
}

int64_t nb_seccomp(uint32_t operation, uint32_t flags, const void *argument)
{
	return result_of(syscall(SYS_seccomp, operation, flags, argument));
}

int64_t nb_keyctl(int32_t operation, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	return result_of(syscall(SYS_keyctl, operation, a, b, c, d));
}

int64_t nb_bpf_prog_load(uint32_t type, const void *instructions, uint32_t count,
			 const char *license, char *log, uint32_t log_size)
{
	union bpf_attr attributes = { 0 };

	attributes.prog_type = type;
	attributes.insns = (uintptr_t)instructions;
	attributes.insn_cnt = count;
	attributes.license = (uintptr_t)license;
	attributes.log_buf = (uintptr_t)log;
	attributes.log_size = log ? log_size : 0;
	attributes.log_level = log ? 1 : 0;
	return result_of(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes)));
}

int64_t nb_bpf_prog_attach(int32_t target, int32_t program, uint32_t type, uint32_t flags,
			   int32_t replaced)
{
	union bpf_attr attributes = { 0 };

	attributes.target_fd = (uint32_t)target;
	attributes.attach_bpf_fd = (uint32_t)program;
	attributes.attach_type = type;
	attributes.attach_flags = flags;
	if (replaced >= 0) {
		attributes.attach_flags |= BPF_F_REPLACE;
		attributes.replace_bpf_fd = (uint32_t)replaced;
	}
	return result_of(syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof(attributes)));
}

int64_t nb_bpf_prog_detach(int32_t target, int32_t program, uint32_t type)
{
	union bpf_attr attributes = { 0 };

	attributes.target_fd = (uint32_t)target;
	attributes.attach_bpf_fd = (uint32_t)program;
	attributes.attach_type = type;
	return result_of(syscall(SYS_bpf, BPF_PROG_DETACH, &attributes, sizeof(attributes)));
}

int64_t nb_bpf_prog_query(int32_t target, uint32_t type, uint32_t *ids, uint32_t *count)
{
	union bpf_attr attributes = { 0 };
	int64_t result;

	attributes.query.target_fd = (uint32_t)target;
	attributes.query.attach_type = type;
	attributes.query.prog_ids = (uintptr_t)ids;
	attributes.query.prog_cnt = *count;
	result = result_of(syscall(SYS_bpf, BPF_PROG_QUERY, &attributes, sizeof(attributes)));
	*count = attributes.query.prog_cnt;
	return result;
}

int64_t nb_bpf_prog_get_fd_by_id(uint32_t id)
{
	union bpf_attr attributes = { 0 };

	attributes.prog_id = id;
	return result_of(syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attributes, sizeof(attributes)));
}
