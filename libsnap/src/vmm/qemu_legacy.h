// SPDX-License-Identifier: Apache-2.0
// The VM state streams of QEMU 0.9 to 0.12 and of kvm-userspace: what import_qcow2() and import_vmstate() share.
#pragma once

#include <string_view>

#include "snap/import.h"
#include "vmm/stream.h"

namespace snap {

inline constexpr std::string_view kHeadState = "qemu.vmstate.head";
inline constexpr std::string_view kTailState = "qemu.vmstate.tail";
inline constexpr std::string_view kRecipeState = "qemu.vmstate.recipe";
inline constexpr std::string_view kOriginalRamState = "qemu.vmstate.ram-original";
inline constexpr std::string_view kDigestKey = "qemu.vmstate.blake3";
inline constexpr std::string_view kBytesKey = "qemu.vmstate.bytes";

Result<void> import_legacy(StreamSource& stream, Writer& writer, const ImportOptions& options);

}  // namespace snap
