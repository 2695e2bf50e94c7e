// SPDX-License-Identifier: Apache-2.0
// The migration stream of QEMU 0.13 and newer, as migration/savevm.c, ram.c and vmstate.c of QEMU write it. All integers are
// big-endian:
//
//   stream  = "QEVM" be32 3 [07 be32 n, n bytes of machine type, subsection*] element* 00 [06 be32 n, n bytes of JSON]
//   subsection = 05 u8 n, n bytes of name, be32 version, body
//   element = 01 be32 id, u8 n, n bytes of name, be32 instance, be32 version, body, footer     start
//           | 02 be32 id, body, footer                                                          part
//           | 03 be32 id, body, footer                                                          end
//           | 04 as 01                                                                          full: the devices, of no told length
//           | 08 be16 command, be16 n, n bytes
//   footer  = 7e be32 id                                                     (machine types older than 2.4: none)
//
// The body of "ram" is records up to one of EOS: be64 of an offset in a RAM block and flags, below.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "snap/reader.h"
#include "snap/result.h"
#include "vmm/forward.h"

namespace snap {

inline constexpr std::uint32_t kQemuMagic = 0x5145564d;  // "QEVM"
inline constexpr std::uint32_t kQemuVersion = 3;
inline constexpr std::uint32_t kQemuRamVersion = 4;
inline constexpr std::string_view kQemuRamId = "ram";

enum QemuElement : std::uint8_t {
  kQemuEof = 0x00,
  kQemuStart = 0x01,
  kQemuPart = 0x02,
  kQemuEnd = 0x03,
  kQemuFull = 0x04,
  kQemuSubsection = 0x05,
  kQemuDescription = 0x06,
  kQemuConfiguration = 0x07,
  kQemuCommand = 0x08,
  kQemuFooter = 0x7e,
};

enum QemuRamFlag : std::uint64_t {
  kRamZero = 0x02,       ///< [block] u8 fill
  kRamMemSize = 0x04,    ///< the blocks: u8 n, n bytes of name, be64 size, … until their sizes are the offset's
  kRamPage = 0x08,       ///< [block] the page
  kRamEos = 0x10,        ///< ends a body
  kRamContinue = 0x20,   ///< the block is that of the record before; [block] is absent
  kRamXbzrle = 0x40,     ///< [block] u8 1, be16 n, n bytes
  kRamHook = 0x80,       ///< RDMA only
  kRamCompressed = 0x100,  ///< [block] be32 n, n bytes of zlib
  kRamMultifdFlush = 0x200,
  kRamFlags = 0xfff,
};

/// What stands in front of the first section.
struct QemuHead {
  std::string machine;  ///< such as pc-i440fx-7.2; empty where the stream has no configuration
  bool has_configuration = false;
  bool ignores_shared = false;  ///< capability x-ignore-shared: RAM in shared files is not in the stream
  bool mapped_ram = false;
  Bytes bytes;          ///< all of it
  Bytes without_lists;  ///< the same without the list of capabilities
};
Result<QemuHead> take_qemu_head(ForwardStream& stream);
/// The same of bytes that were kept.
Result<QemuHead> parse_qemu_head(std::span<const std::byte> bytes);

/// Of a mapped-ram file, behind each block's size: be32 1, be64 page size, be64 offset of the bitmap, be64 offset of the pages; the
/// offsets are of the file. The bitmap is little-endian longs; a page whose bit is clear is zero, whatever stands in its place.
inline constexpr std::size_t kMappedHeaderBytes = 28;
inline constexpr std::uint32_t kMappedVersion = 1;
inline constexpr std::uint64_t kMappedPagesAlign = 1u << 20;

inline constexpr std::string_view kQemuHeadState = "qemu.stream.head";     ///< QemuHead::bytes
inline constexpr std::string_view kQemuDevicesState = "qemu.stream.devices";  ///< from the first full section to the stream's end

/// The most that the devices' state may take.
inline constexpr std::size_t kMaxDeviceStateBytes = 512u << 20;

/// Where the end (00) in front of the JSON description stands that ends exactly with the bytes, or zeros behind it; nothing where
/// there is none.
std::optional<std::size_t> find_description(std::span<const std::byte> devices);
/// The run state in section "globalstate"; empty where there is none.
std::string runstate_of(std::span<const std::byte> devices);

}  // namespace snap
