package lambda

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Numbers of Linux's sock_diag(7): the request's type, and the states of a socket that
// has a peer.
const (
	sockDiagByFamily = 20
	inetDiagReqSize  = 56
	inetDiagMsgSize  = 72
	inodeAt          = 68 // in inet_diag_msg
	anyCookie        = 0xffffffff
)

// peerInode returns the number of the socket at the other end of a loopback connection;
// 0 = it is gone, or the kernel doesn't say.
func peerInode(c net.Conn) uint64 {
	theirs, err1 := netip.ParseAddrPort(c.RemoteAddr().String())
	ours, err2 := netip.ParseAddrPort(c.LocalAddr().String())
	if err1 != nil || err2 != nil {
		return 0
	}
	inode, err := socketInode(theirs, ours)
	if err != nil {
		return 0
	}
	return inode
}

// socketInode asks the kernel for the TCP socket of IPv4 that is bound to from and
// connected to to. It is one question over a netlink socket: the table in /proc/net
// would have to be read in whole.
func socketInode(from, to netip.AddrPort) (uint64, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	const head = unix.SizeofNlMsghdr
	var q [head + inetDiagReqSize]byte
	*(*unix.NlMsghdr)(unsafe.Pointer(&q[0])) = unix.NlMsghdr{Len: uint32(len(q)), Type: sockDiagByFamily,
		Flags: unix.NLM_F_REQUEST, Seq: 1}
	body := q[head:]
	body[0], body[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<32-1) // any state
	binary.BigEndian.PutUint16(body[8:], from.Port())
	binary.BigEndian.PutUint16(body[10:], to.Port())
	source, target := from.Addr().Unmap().As4(), to.Addr().Unmap().As4()
	copy(body[12:], source[:])
	copy(body[28:], target[:])
	binary.NativeEndian.PutUint32(body[48:], anyCookie)
	binary.NativeEndian.PutUint32(body[52:], anyCookie)
	if err := unix.Sendto(fd, q[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var answer [4096]byte
	n, _, err := unix.Recvfrom(fd, answer[:], 0)
	for errors.Is(err, unix.EINTR) {
		n, _, err = unix.Recvfrom(fd, answer[:], 0)
	}
	if err != nil {
		return 0, err
	}
	if n < head+inetDiagMsgSize {
		return 0, unix.ENOENT
	}
	if h := (*unix.NlMsghdr)(unsafe.Pointer(&answer[0])); h.Type != sockDiagByFamily {
		return 0, unix.ENOENT
	}
	return uint64(binary.NativeEndian.Uint32(answer[head+inodeAt:])), nil
}

// canTellPeers: a connection is its family's or is closed.
const canTellPeers = true
