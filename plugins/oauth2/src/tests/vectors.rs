//! The examples of RFC 7515 appendix A and RFC 8037 appendix A.

use serde_json::{Map, Value, json};

use crate::jwk::{Algorithm, KeySet, Signed, Verdict, decode};

/// RFC 7515 appendix A.2: RS256.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9\
.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5ju\
jGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7\
K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6\
LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// The modulus of its key.
const RS256_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJr\
cS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaS\
HSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7a\
GhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

/// RFC 7515 appendix A.3: ES256.
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9\
.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 8037 appendix A.4: EdDSA.
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn verdict(algorithm: Algorithm, token: &str, key: &Value) -> Verdict {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut set = Map::new();
    set.insert("keys".into(), json!([key]));
    KeySet::read(&set).unwrap().verify(&Signed {
        algorithm,
        kid: None,
        message: message.as_bytes(),
        signature: &decode(signature).unwrap(),
    })
}

#[test]
fn the_examples_verify_and_their_damage_does_not() {
    let rsa = json!({"kty": "RSA", "n": RS256_N, "e": "AQAB"});
    let p256 = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let ed25519 = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    for (algorithm, token, key) in [
        (Algorithm::Rs256, RS256, &rsa),
        (Algorithm::Es256, ES256, &p256),
        (Algorithm::EdDsa, EDDSA, &ed25519),
    ] {
        assert_eq!(verdict(algorithm, token, key), Verdict::Valid);
        let damaged = token.replacen("eyJhbGci", "eyJhbGcj", 1);
        assert_eq!(verdict(algorithm, &damaged, key), Verdict::Invalid);
        let (message, _) = token.rsplit_once('.').unwrap();
        assert_eq!(
            verdict(algorithm, &format!("{message}."), key),
            Verdict::Invalid
        );
    }
    // The right key, and the padding of the other algorithm.
    assert_eq!(verdict(Algorithm::Ps256, RS256, &rsa), Verdict::Invalid);
    assert_eq!(verdict(Algorithm::Es256, ES256, &rsa), Verdict::NoKey);
}
