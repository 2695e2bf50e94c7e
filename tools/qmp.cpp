// SPDX-License-Identifier: Apache-2.0
#include "qmp.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "signals.h"
#include "text.h"

namespace snap::tool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kGreetingWait{10};
constexpr seconds kAnswerWait{60};  // "stop" and "cont" wait for the guest's disks
constexpr seconds kPutBackWait{20};
constexpr milliseconds kPoll{200};
constexpr std::size_t kMaxLine = 4u << 20;

Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw Failure{kExitIo, fmt::format("{}: a socket's name has no more than {} bytes", path, sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd link(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (link.get() < 0) fail_errno(path, "cannot make a socket");
  if (::connect(link.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail_errno(path, "cannot connect to QEMU's monitor");
  }
  return link;
}

}  // namespace

Qmp::Qmp(const std::string& path) : Qmp(connect_to(path), path) {}

Qmp::Qmp(Fd link, std::string name) : name_(std::move(name)), link_(std::move(link)) { greet(); }

void Qmp::greet() {
  const Json greeting = receive(steady_clock::now() + kGreetingWait);
  if (!greeting.is_object() || !greeting.contains("QMP")) lose("this is no QMP monitor");
  run("qmp_capabilities");
}

Qmp::Json Qmp::run(std::string_view command, Json arguments) { return ask(command, std::move(arguments), -1); }

void Qmp::give(int fd, const std::string& name) { ask("getfd", {{"fdname", name}}, fd); }

void Qmp::run_with(const std::string& fd_name, std::string_view command, Json arguments) {
  try {
    run(command, std::move(arguments));
  } catch (const Failure&) {
    put_back();
    try {
      if (!broken_) run("closefd", {{"fdname", fd_name}});
    } catch (const Failure&) {
      // It took the descriptor and failed afterwards.
    }
    throw;
  }
}

int Qmp::peer() const {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  return ::getsockopt(link_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 ? peer.pid : -1;
}

void Qmp::put_back() { putting_back_ = true; }

Qmp::Json Qmp::ask(std::string_view command, Json arguments, int fd) {
  doing_ = command;
  if (broken_) fail("the connection to QEMU is lost");
  const Deadline deadline = steady_clock::now() + (putting_back_ ? kPutBackWait : kAnswerWait);
  const std::uint64_t id = ++last_id_;
  Json request{{"execute", command}, {"id", id}};
  if (!arguments.empty()) request["arguments"] = std::move(arguments);
  send(request.dump() + "\n", fd, deadline);
  while (true) {
    Json answer = receive(deadline);
    if (!answer.is_object()) lose("QEMU's answer is no JSON object");
    if (answer.contains("error")) fail(fmt::format("QEMU says: {}", text(answer["error"], "desc", "an error without words")));
    if (answer.contains("return") && number(answer, "id") == id) return std::move(answer["return"]);
  }
}

void Qmp::send(std::string_view text, int fd, Deadline deadline) {
  while (!text.empty()) {
    wait(POLLOUT, deadline);
    iovec bytes{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    if (fd >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof fd);
      std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    const ssize_t sent = ::sendmsg(link_.get(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR && errno != EAGAIN) lose(errno == EPIPE ? "QEMU closed its monitor" : std::strerror(errno));
    if (sent <= 0) continue;
    fd = -1;  // it went with the first byte
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

Qmp::Json Qmp::receive(Deadline deadline) {
  Json message = Json::parse(line(deadline), nullptr, false);
  if (message.is_discarded()) lose("what came from QEMU's monitor is no JSON");
  return message;
}

std::string Qmp::line(Deadline deadline) {
  for (std::size_t searched = 0;;) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != buffer_.npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    searched = buffer_.size();
    if (searched > kMaxLine) lose("a line without end came from QEMU's monitor");
    wait(POLLIN, deadline);
    char piece[16384];
    const ssize_t got = ::recv(link_.get(), piece, sizeof piece, 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0 && errno != ECONNRESET) lose(std::strerror(errno));
    if (got <= 0) lose("QEMU closed its monitor");
    buffer_.append(piece, static_cast<std::size_t>(got));
  }
}

void Qmp::wait(short events, Deadline deadline) {
  while (true) {
    if (cancelled() && !putting_back_) tool::fail(name_, Error{.code = Code::kCancelled, .what = "interrupted"});
    pollfd link{.fd = link_.get(), .events = events, .revents = 0};
    if (::poll(&link, 1, static_cast<int>(kPoll.count())) > 0) return;
    if (steady_clock::now() < deadline) continue;
    lose(last_id_ == 0 ? "QEMU's monitor does not answer; a QMP monitor serves one client at a time" : "QEMU does not answer");
  }
}

void Qmp::fail(std::string_view what) { throw Failure{kExitIo, fmt::format("{}: {}: {}", name_, doing_, printable(what))}; }

void Qmp::lose(std::string_view what) {
  broken_ = true;
  fail(what);
}

std::string Qmp::text(const Json& answer, const char* key, std::string_view otherwise) {
  const auto found = answer.is_object() ? answer.find(key) : answer.end();
  return found != answer.end() && found->is_string() ? found->get<std::string>() : std::string(otherwise);
}

std::uint64_t Qmp::number(const Json& answer, const char* key, std::uint64_t otherwise) {
  const auto found = answer.is_object() ? answer.find(key) : answer.end();
  return found != answer.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : otherwise;
}

bool Qmp::truth(const Json& answer, const char* key) {
  const auto found = answer.is_object() ? answer.find(key) : answer.end();
  return found != answer.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace snap::tool
