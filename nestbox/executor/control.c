/* The conversation: reports to the runtime, and what it answers. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum { SIGNAL_EXIT = 128 };

int control = NB_CONTROL_FD;

static char payload_bytes[NB_MAX_PAYLOAD];
static size_t payload_length;

struct payload last_payload(void)
{
	return (struct payload){ .bytes = payload_bytes, .length = payload_length };
}

union one_descriptor {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

int send_report(uint32_t kind, int fd)
{
	struct iovec data = { .iov_base = &report, .iov_len = sizeof(report) };
	union one_descriptor rights;
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };

	report.kind = kind;
	if (fd >= 0) {
		memset(&rights, 0, sizeof(rights));
		message.msg_control = rights.space;
		message.msg_controllen = sizeof(rights.space);
		rights.header.cmsg_level = SOL_SOCKET;
		rights.header.cmsg_type = SCM_RIGHTS;
		rights.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&rights.header), &fd, sizeof(fd));
	}
	return sendmsg(control, &message, MSG_NOSIGNAL) == sizeof(report) ? 0 : -1;
}

/* The descriptor that came with a message, or -1. */
static int descriptor_of(const struct msghdr *message, const union one_descriptor *rights)
{
	int fd;

	if (message->msg_controllen < CMSG_LEN(sizeof(int)) ||
	    rights->header.cmsg_level != SOL_SOCKET || rights->header.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(&rights->header), sizeof(fd));
	return fd;
}

/* Waits for a go and the descriptor that it has to have or must not have (fd is NULL). */
static int receive_go(int socket, int *fd)
{
	char go = 0;
	struct iovec data[] = {
		{ .iov_base = &go, .iov_len = sizeof(go) },
		{ .iov_base = payload_bytes, .iov_len = sizeof(payload_bytes) },
	};
	union one_descriptor rights = { .space = { 0 } };
	struct msghdr message = {
		.msg_iov = data,
		.msg_iovlen = 2,
		.msg_control = rights.space,
		.msg_controllen = CMSG_LEN(sizeof(int)), /* what is more is not installed */
	};
	ssize_t n;
	int received;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	if (n == 0) {
		errno = ECANCELED; /* the other side is gone */
		return -1;
	}
	if (n > 1)
		payload_length = (size_t)n - 1;
	received = descriptor_of(&message, &rights);
	if (go != 'g' || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    (received >= 0) != (fd != NULL)) {
		if (received >= 0)
			close(received);
		errno = EBADMSG;
		return -1;
	}
	if (fd)
		*fd = received;
	return 0;
}

int op_sync(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	return send_report(NB_REPORT_SYNC, -1) < 0 ? -1 : receive_go(control, NULL);
}

int op_receive(const struct plan *plan, const struct nb_step *step)
{
	int fd;

	(void)plan;
	if (send_report(NB_REPORT_SYNC, -1) < 0 || receive_go(control, &fd) < 0)
		return -1;
	set_slot(step->num[0], fd);
	return 0;
}

int lend(int fd)
{
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	return send_report(NB_REPORT_SYNC, fd) < 0 ? -1 : receive_go(control, NULL);
}

/* For what the runtime alone may do to it: a user namespace has no right to map ids of the host. */
int op_lend(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return lend(slots[step->num[0]]);
}

/* The first process of a pid namespace dies of no signal that it does not handle. */
static void end_by(int signal_number)
{
	_exit(SIGNAL_EXIT + signal_number);
}

static void handle_ends(void (*handler)(int))
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		signal(ends[i], handler);
}

static int owner_of(int socket, uid_t *uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -1;
	*uid = peer.uid;
	return 0;
}

/* Accepts until one of the right user has said go; a peer that leaves before that is no harm. */
static int accept_starter(uid_t maker)
{
	for (;;) {
		int peer = accept4(NB_LISTENER_FD, NULL, NULL, SOCK_CLOEXEC);
		uid_t uid;

		if (peer < 0 && errno != EINTR && errno != ECONNABORTED)
			return -1;
		if (peer < 0)
			continue;
		if (owner_of(peer, &uid) == 0 && (uid == maker || uid == 0) &&
		    receive_go(peer, NULL) == 0)
			return peer;
		close(peer);
	}
}

int op_wait_start(const struct plan *plan, const struct nb_step *step)
{
	int listening = 0;
	socklen_t size = sizeof(listening);
	uid_t maker;

	(void)plan;
	(void)step;
	if (getsockopt(NB_LISTENER_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
		return -1;
	if (!listening) {
		errno = EINVAL;
		return -1;
	}
	handle_ends(end_by);
	if (owner_of(control, &maker) < 0 || send_report(NB_REPORT_CREATED, -1) < 0)
		return -1;
	close(control);
	control = accept_starter(maker);
	if (control < 0)
		return -1;
	handle_ends(SIG_DFL);
	return close(NB_LISTENER_FD);
}
