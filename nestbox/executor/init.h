/* What the parts of the executor share. */
#ifndef NESTBOX_INIT_H
#define NESTBOX_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

struct plan {
	const struct nb_header *header;
	const struct nb_step *steps;
	const char *text;
};

typedef int op_function(const struct plan *plan, const struct nb_step *step);

/* Every operation returns 0, or -1 with errno set. */
op_function op_sync, op_receive, op_lend, op_wait_start, op_hook;
op_function op_parent_death, op_dumpable, op_keyring, op_hostname, op_domainname, op_loopback,
	op_session, op_umask, op_rlimit, op_proc_write, op_label;
op_function op_unshare, op_open_namespace, op_join, op_fork, op_time_offsets;
op_function op_scheduler, op_io_priority, op_affinity, op_memory_policy, op_personality;
op_function op_propagation, op_open_tree, op_new_fs, op_old_fs, op_set_attr, op_attach,
	op_attach_root, op_keep_slot, op_open_dir, op_fchdir, op_open_target, op_reconfigure,
	op_copy_up, op_copy_tree, op_fuse, op_old_mounts;
op_function op_pivot, op_chroot, op_private_parent, op_uncover, op_chdir;
op_function op_mkdir, op_make_file, op_mask, op_readonly, op_make_dirs, op_device, op_symlink;
op_function op_console, op_own_streams;
op_function op_drop_bounding, op_ids, op_capset, op_ambient, op_no_new_privs, op_seccomp, op_verify,
	op_init, op_exec, op_raise, op_preserve, op_find_program;

/* Descriptors that steps hand to each other; -1 where there is none. */
extern int slots[NB_SLOTS];

/*
 * After a change of ids or of the user namespace, at which the kernel sets "dumpable" to
 * fs.suid_dumpable: it is what NB_OP_DUMPABLE made it (CVE-2016-9962).
 */
int stay_closed(void);

/* Puts fd into a slot and closes what was there. */
void set_slot(uint64_t slot, int fd);

/* The text operand i of a step. */
static inline const char *text(const struct plan *plan, const struct nb_step *step, int i)
{
	return plan->text + step->text[i];
}

/* The report that op functions add to before it is sent. */
extern struct nb_report report;

/* The socket that reports are sent on: of the runtime that creates, then of the one that starts. */
extern int control;

/*
 * Changes attributes and propagation of a mount, with AT_RECURSIVE of all below it. One that is
 * not attached may be replaced by a copy of it.
 */
struct mount_attr;
int change_mount(int *mount, bool attached, unsigned int flags, const struct mount_attr *change);

/* Sends the report with this kind; fd is passed along unless it is negative. */
int send_report(uint32_t kind, int fd);

/* Reports a sync with this descriptor, and waits for go. */
int lend(int fd);

/* What came with the last go that had more than that to say. */
struct payload {
	const char *bytes;
	size_t length;
};
struct payload last_payload(void);

/* Points out[] at count strings that lie one after another, and ends it by NULL. */
void split_list(const char *at, uint64_t count, char **out);

/* Opens a path with root as its /; symbolic links never lead out of it. */
int open_in_root(int root, const char *path, int flags, uint64_t resolve);

/* Opens a directory of the present tree; unless magic is 0 it must be the root of such a system. */
int open_root_of(const char *path, uint64_t magic);

/* Opens a target as NB_TARGET_* says; what is missing is made with this mode. */
int open_target(int root, const char *path, uint64_t how, uint32_t mode);

/*
 * Opens the directory that a path lies in, made as open_target makes it, and points name at the
 * last component in buffer. It is base itself, not to be closed, when the path is but a name.
 */
enum { NB_PATH_SIZE = 4096 };
int open_parent(int base, const char *path, uint64_t how, char *buffer, const char **name);

/* What stands for an owner without an id here. Source: proc_sys_fs(5), overflowuid. */
enum { NB_OVERFLOW_ID = 65534 };

/* Whether a text is one component; sets errno when it is not. */
bool is_name(const char *name);

/* Moves a detached mount onto a directory or file that is open. */
int attach_at(int mount, int target);

/* Returns a detached copy of the mount at an open descriptor. */
int clone_tree(int fd, const char *path, unsigned int flags);

#endif
