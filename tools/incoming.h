// SPDX-License-Identifier: Apache-2.0
// A QEMU that waits with -incoming defer is given a guest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ahead.h"
#include "qmp.h"
#include "snap/io.h"

namespace snap::tool {

/// What QEMU is to be given, and what its command line must have for it.
struct RestorePlan {
  std::string name{};  ///< of the snapshot, for messages
  std::function<Result<void>(ByteSink&)> write_stream;
  /// Ends the command with an error of write_stream that is not the sink's.
  std::function<void(const Error&)> fail;
  bool run = false;  ///< let the guest run
  // Where this command starts QEMU:
  std::string mapped_ram{};              ///< the RAM that the arguments make, and nothing of the user's own
  std::vector<std::string> arguments{};  ///< behind the user's own
  std::vector<int> inherited{};          ///< descriptors that they name; they stay open in QEMU under the same numbers
};

/// Sends the guest, which is `stream` of the plan, and lets it run if the plan says so; answers how many bytes that took. Ends the
/// command where that fails.
std::uint64_t give_guest(Qmp& qmp, const RestorePlan& plan, Ahead& stream);

}  // namespace snap::tool
