// SPDX-License-Identifier: Apache-2.0
// The save images of libvirt, as src/qemu/qemu_saveimage.h has them. Integers are in the order of the host that wrote them:
//
//   image  = header, data, stream
//   header = magic[16], u32 version, u32 bytes of data, u32 was running, u32 format, u32 offset of the cookie in data, 56 bytes unused
//   data   = the domain's XML, 00, [the cookie, 00,] room for a longer XML
//   stream = a migration stream of QEMU, compressed as format says
//
// Saved into a pipe, the header says that the image is partly written, and stands once more behind the stream, complete.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "snap/result.h"
#include "vmm/decompress.h"

namespace snap {

inline constexpr std::size_t kLibvirtHeaderBytes = 92;
inline constexpr std::string_view kLibvirtSave = "LibvirtQemudSave";
inline constexpr std::string_view kLibvirtPart = "LibvirtQemudPart";
inline constexpr std::uint32_t kLibvirtVersion = 2;
/// The most that XML and cookie may take.
inline constexpr std::uint32_t kMaxLibvirtData = 64u << 20;
/// What libvirt leaves behind the cookie, so that the XML can be edited.
inline constexpr std::size_t kLibvirtRoom = 64 * 1024;

/// Where the fields stand.
enum LibvirtField : std::size_t { kFieldVersion = 16, kFieldDataLen = 20, kFieldWasRunning = 24, kFieldFormat = 28, kFieldCookie = 32 };

struct LibvirtFormat {
  const char* name;
  Compression compression;
  bool sparse = false;  ///< a mapped-ram file, whose offsets are the image's
};
/// By the header's number.
inline constexpr std::array<LibvirtFormat, 7> kLibvirtFormats = {{
    {"raw", Compression::kNone},
    {"gzip", Compression::kGzip},
    {"bzip2", Compression::kBzip2},
    {"xz", Compression::kXz},
    {"lzop", Compression::kLzop},
    {"zstd", Compression::kZstd},
    {"sparse", Compression::kNone, true},
}};

struct LibvirtHeader {
  bool partial = false;
  std::uint32_t data_bytes = 0;
  bool was_running = false;
  std::uint32_t format = 0;         ///< an index of kLibvirtFormats
  std::uint32_t cookie_offset = 0;  ///< 0: no cookie
};
/// Of kLibvirtHeaderBytes in either byte order.
Result<LibvirtHeader> parse_libvirt_header(std::span<const std::byte> bytes);

/// The domain's name as its XML has it; empty where it is not found.
std::string domain_name(std::string_view xml);

inline constexpr std::string_view kLibvirtRunningKey = "libvirt.was_running";
inline constexpr std::string_view kLibvirtFormatKey = "libvirt.format";
inline constexpr std::string_view kLibvirtDomainKey = "libvirt.domain";

}  // namespace snap
