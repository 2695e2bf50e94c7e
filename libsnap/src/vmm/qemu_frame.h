// SPDX-License-Identifier: Apache-2.0
// What every migration stream that is made of a snapshot has around its pages.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "snap/reader.h"
#include "vmm/qemu_stream.h"

namespace snap {

struct QemuFrame {
  QemuHead head;
  std::uint32_t ram_id = 0;     ///< of the section "ram"
  std::uint64_t ram_bytes = 0;  ///< of all RAM blocks
};
/// kNotFound where the snapshot is of no migration stream; refused where a memory region can be no RAM block.
Result<QemuFrame> qemu_frame(Reader& reader);

void append_short_text(Bytes& to, std::string_view text);
/// The head of a section, or of a part of one, behind which its body comes.
void append_section(Bytes& to, QemuElement type, std::uint32_t id);
/// The start of the RAM section up to the list of blocks.
void append_ram_start(Bytes& to, const QemuFrame& frame);
/// The end of a RAM section's body, and the footer where the machine type has one.
void append_ram_end(Bytes& to, const QemuFrame& frame);

}  // namespace snap
