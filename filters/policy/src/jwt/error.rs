/// What is wrong with a token. The messages are those of Envoy's jwt_authn, which clients may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtError {
    TooLarge,
    /// More in one request than anybody needs.
    TooMany,
    BadFormat,
    HeaderBadBase64,
    HeaderBadJson,
    HeaderBadAlg,
    HeaderUnsupportedAlg,
    HeaderBadKid,
    /// An extension that must be understood (`crit`, RFC 7515 section 4.1.11), and none is.
    HeaderCritical,
    PayloadBadBase64,
    PayloadBadJson,
    BadIssuer,
    BadSubject,
    BadIssuedAt,
    IssuedAtOutOfRange,
    BadNotBefore,
    NotBeforeOutOfRange,
    BadExpiry,
    ExpiryOutOfRange,
    BadId,
    BadAudience,
    SignatureBadBase64,
    UnknownIssuer,
    NotYetValid,
    Expired,
    AudienceNotAllowed,
    NoKey,
    VerificationFailed,
}

impl JwtError {
    /// The body of the answer.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::TooLarge => "Jwt is too large",
            Self::TooMany => "Found multiple Jwt tokens",
            Self::BadFormat => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::HeaderBadBase64 => "Jwt header is an invalid Base64url encoded",
            Self::HeaderBadJson => "Jwt header is an invalid JSON",
            Self::HeaderBadAlg => "Jwt header [alg] field is required and must be a string",
            Self::HeaderUnsupportedAlg => "Jwt header [alg] is not supported",
            Self::HeaderBadKid => "Jwt header [kid] field is not a string",
            Self::HeaderCritical => "Jwt header [crit] is not supported",
            Self::PayloadBadBase64 => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadBadJson => "Jwt payload is an invalid JSON",
            Self::BadIssuer => "Jwt payload [iss] field is not a string",
            Self::BadSubject => "Jwt payload [sub] field is not a string",
            Self::BadIssuedAt => "Jwt payload [iat] field is not an integer",
            Self::IssuedAtOutOfRange => "Jwt payload [iat] field is not a positive 64 bit integer",
            Self::BadNotBefore => "Jwt payload [nbf] field is not an integer",
            Self::NotBeforeOutOfRange => "Jwt payload [nbf] field is not a positive 64 bit integer",
            Self::BadExpiry => "Jwt payload [exp] field is not an integer",
            Self::ExpiryOutOfRange => "Jwt payload [exp] field is not a positive 64 bit integer",
            Self::BadId => "Jwt payload [jti] field is not a string",
            Self::BadAudience => "Jwt payload [aud] field is not a string or string list",
            Self::SignatureBadBase64 => "Jwt signature is an invalid Base64url encoded",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::AudienceNotAllowed => "Audiences in Jwt are not allowed",
            Self::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::VerificationFailed => "Jwt verification fails",
        }
    }

    /// A wrong audience is 403, everything else 401.
    #[must_use]
    pub fn status(self) -> u16 {
        if self == Self::AudienceNotAllowed { 403 } else { 401 }
    }

    /// Stable, for logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "jwt_too_large",
            Self::TooMany => "jwt_too_many",
            Self::BadFormat => "jwt_bad_format",
            Self::HeaderBadBase64 => "jwt_header_bad_base64",
            Self::HeaderBadJson => "jwt_header_bad_json",
            Self::HeaderBadAlg => "jwt_header_bad_alg",
            Self::HeaderUnsupportedAlg => "jwt_header_unsupported_alg",
            Self::HeaderBadKid => "jwt_header_bad_kid",
            Self::HeaderCritical => "jwt_header_critical",
            Self::PayloadBadBase64 => "jwt_payload_bad_base64",
            Self::PayloadBadJson => "jwt_payload_bad_json",
            Self::BadIssuer => "jwt_bad_issuer",
            Self::BadSubject => "jwt_bad_subject",
            Self::BadIssuedAt => "jwt_bad_issued_at",
            Self::IssuedAtOutOfRange => "jwt_issued_at_out_of_range",
            Self::BadNotBefore => "jwt_bad_not_before",
            Self::NotBeforeOutOfRange => "jwt_not_before_out_of_range",
            Self::BadExpiry => "jwt_bad_expiry",
            Self::ExpiryOutOfRange => "jwt_expiry_out_of_range",
            Self::BadId => "jwt_bad_id",
            Self::BadAudience => "jwt_bad_audience",
            Self::SignatureBadBase64 => "jwt_signature_bad_base64",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::Expired => "jwt_expired",
            Self::AudienceNotAllowed => "jwt_audience_not_allowed",
            Self::NoKey => "jwt_no_key",
            Self::VerificationFailed => "jwt_verification_failed",
        }
    }
}
