// SPDX-License-Identifier: Apache-2.0
// What the command line of a QEMU must have that a snapshot is restored into. (Its devices, too, must be those of the guest.)
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "snap/reader.h"

namespace snap::tool {

struct QemuNeeds {
  std::string machine;  ///< "pc-i440fx-7.2"
  std::string memory;   ///< for -m: "1024M"
  std::string ram;      ///< the name of the main RAM block
  std::vector<std::string> arguments;

  std::string line() const;
};

/// Nothing where the snapshot does not come from a QEMU that names its machine, or has no main memory.
std::optional<QemuNeeds> qemu_needs(const Reader& reader);

}  // namespace snap::tool
