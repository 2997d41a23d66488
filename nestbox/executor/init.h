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
op_function op_sync, op_parent_death, op_dumpable, op_keyring, op_unshare, op_hostname, op_loopback,
	op_session, op_umask, op_rlimit, op_proc_write;
op_function op_propagation, op_open_tree, op_new_fs, op_set_attr, op_attach, op_attach_root,
	op_keep_slot, op_open_dir, op_fchdir, op_pivot, op_chdir;
op_function op_mkdir, op_make_file, op_mask, op_readonly, op_device, op_symlink, op_make_dirs;
op_function op_console;
op_function op_drop_bounding, op_ids, op_capset, op_ambient, op_no_new_privs, op_seccomp, op_verify,
	op_init, op_exec, op_raise;

/* Descriptors that steps hand to each other; -1 where there is none. */
extern int slots[NB_SLOTS];

/* Puts fd into a slot and closes what was there. */
void set_slot(uint64_t slot, int fd);

/* The text operand i of a step. */
static inline const char *text(const struct plan *plan, const struct nb_step *step, int i)
{
	return plan->text + step->text[i];
}

/* The report that op functions add to before it is sent. */
extern struct nb_report report;

/* Sends the report with this kind; fd is passed along unless it is negative. */
int send_report(uint32_t kind, int fd);

/* Opens a path with root as its /; symbolic links never lead out of it. */
int open_in_root(int root, const char *path, int flags, uint64_t resolve);

/* Opens a target as NB_TARGET_* says; what is missing is made with this mode. */
int open_target(int root, const char *path, uint64_t how, uint32_t mode);

/* Moves a detached mount onto a directory or file that is open. */
int attach_at(int mount, int target);

/* Returns a detached copy of the mount at an open descriptor. */
int clone_tree(int fd, const char *path, unsigned int flags);

#endif
