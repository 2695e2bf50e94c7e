// SPDX-License-Identifier: Apache-2.0
// QEMU's monitor, spoken in QMP over a unix socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "open.h"

namespace snap::tool {

/// One connection. All methods end the command where they fail (exit status 3), with what QEMU said in the message; a signal ends
/// a wait. One thread at a time.
class Qmp {
 public:
  using Json = nlohmann::json;

  /// Connects to the socket that -qmp unix:PATH,server=on made.
  explicit Qmp(const std::string& path);
  /// Of a connection that stands. `name`: for messages.
  Qmp(Fd link, std::string name);

  /// The answer's "return". Events that come before it are passed over.
  Json run(std::string_view command, Json arguments = Json::object());
  /// Gives QEMU a copy of a descriptor, which then is "fd:NAME" to it, on this connection only.
  void give(int fd, const std::string& name);
  /// run() of what takes over the descriptor given as `fd_name`; where it does not, QEMU closes that.
  void run_with(const std::string& fd_name, std::string_view command, Json arguments);
  const std::string& name() const { return name_; }
  /// The process at the other end of the socket, where the system tells.
  int peer() const;
  /// Whether QEMU closed the connection or it cannot be used any more.
  bool broken() const { return broken_; }
  /// From here on a signal ends no wait: what was begun is put back. Waits are short then.
  void put_back();

  /// A member of an answer; `otherwise` where it is missing or of another type.
  static std::string text(const Json& answer, const char* key, std::string_view otherwise = "");
  static std::uint64_t number(const Json& answer, const char* key, std::uint64_t otherwise = 0);
  static bool truth(const Json& answer, const char* key);

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  void greet();
  Json ask(std::string_view command, Json arguments, int fd);
  void send(std::string_view text, int fd, Deadline deadline);
  Json receive(Deadline deadline);
  /// A whole line in buffer_, without its end; what came behind it stays for the next.
  std::string line(Deadline deadline);
  void wait(short events, Deadline deadline);
  [[noreturn]] void fail(std::string_view what);
  [[noreturn]] void lose(std::string_view what);

  std::string name_;
  Fd link_;
  std::string buffer_;
  std::string doing_ = "connecting";  // for messages
  std::uint64_t last_id_ = 0;
  bool broken_ = false;
  bool putting_back_ = false;
};

}  // namespace snap::tool
